use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How often it is asked whether a client is there still.
const ASK_EVERY: Duration = Duration::from_millis(250);

const UNASKED: u8 = 0;
const ASKED: u8 = 1;
const LEFT: u8 = 2;

/// Whether the client of a connection is there still, while nobody reads what it sends: an extension
/// of requests that an accept loop can put there. It asks nothing until somebody waits.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<AtomicU8>);

impl Presence {
    /// Whether somebody wants to know.
    #[must_use]
    #[cfg(feature = "serve")]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ASKED
    }

    /// Tells whether the client is there. Where it is, somebody asks again.
    #[cfg(feature = "serve")]
    pub fn tell(&self, is_there: bool) {
        let state = if is_there { UNASKED } else { LEFT };
        self.0.store(state, Ordering::Relaxed);
    }

    fn ask(&self) {
        let _ = self
            .0
            .compare_exchange(UNASKED, ASKED, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn has_left(&self) -> bool {
        self.0.load(Ordering::Relaxed) == LEFT
    }
}

/// Waits for a client to leave, who may never be there to be asked.
#[derive(Debug, Default)]
pub(super) struct Departure {
    presence: Option<Presence>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Departure {
    pub(super) fn of(presence: Option<Presence>) -> Self {
        Self {
            presence,
            timer: None,
        }
    }

    /// Ready when the client has left. Whoever tells that runs on the same task, right after this.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(presence) = &self.presence else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(ASK_EVERY)));
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(Instant::now() + ASK_EVERY);
            presence.ask();
        }
        match presence.has_left() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
