use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::events::Events;
use super::gate::{By, Gate};
use super::pattern::Patterns;
use super::settle::{Settle, Turn};
use super::snapshot::Snapshot;
use crate::config;

/// Events come in showers: what follows within this time is looked at together.
const SHOWER: Duration = Duration::from_millis(50);
/// However many come, nothing is looked at more often than this.
const APART: Duration = Duration::from_millis(250);
/// A look that takes longer has seen nothing: time goes on meanwhile.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// What is told of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something changed, in words.
    Detected(String),
    /// Uploads wait, or go on.
    Turned(Turn),
}

/// Watches the network and works the gate. Never ends; when it is dropped, the gate is open.
pub async fn watch(config: &config::Network, gate: &Gate, mut tell: impl FnMut(Change)) {
    let _open = OpenAtEnd(gate);
    let mut events = listen();
    let mut settle = Settle::new(config.settle, config.max_pause, Instant::now());
    let mut eye = Eye::new(Patterns::new(&config.watch, &config.ignore));
    eye.look().await;
    let mut looked = Instant::now();
    loop {
        let due = settle.due();
        tokio::select! {
            () = next(&mut events) => sleep_until((Instant::now() + SHOWER).max(looked + APART)).await,
            () = sleep(config.poll_interval) => {}
            () = sleep_until(due.unwrap_or(looked)), if due.is_some() => {}
        }
        let differences = eye.look().await;
        looked = Instant::now();
        let mut turn = None;
        if !differences.is_empty() {
            tell(Change::Detected(differences.join(", ")));
            turn = settle.changed(looked);
        }
        if let Some(turn) = turn.or_else(|| settle.passed(looked))
            && work(gate, turn)
        {
            tell(Change::Turned(turn));
        }
    }
}

/// Nobody else would open it.
struct OpenAtEnd<'a>(&'a Gate);

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        if self.0.open(By::Network) {
            tracing::info!("Resuming all paused uploads");
        }
    }
}

/// Whether that made a difference: the gate stays open when the process is to end.
fn work(gate: &Gate, turn: Turn) -> bool {
    match turn {
        Turn::Shuts => gate.shut(By::Network),
        Turn::Opens | Turn::OpensAnyhow => gate.open(By::Network),
    }
}

fn listen() -> Option<Events> {
    Events::listen().inspect_err(warn_deaf).ok()
}

fn warn_deaf(error: &io::Error) {
    tracing::warn!(%error, "the system does not tell of changes of its network; it is looked at instead");
}

/// Waits for an event, for ever where there are none.
async fn next(events: &mut Option<Events>) {
    if let Some(listening) = events {
        match listening.next().await {
            Ok(()) => return,
            Err(error) => {
                warn_deaf(&error);
                *events = None;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Who looks at the network, and knows what was last seen of it.
struct Eye {
    patterns: Patterns,
    known: Option<Snapshot>,
    is_blind: bool,
}

impl Eye {
    fn new(patterns: Patterns) -> Self {
        Self {
            patterns,
            known: None,
            is_blind: false,
        }
    }

    /// What is different from what was last seen. Nothing is where nothing can be seen.
    async fn look(&mut self) -> Vec<String> {
        let seen = take(self.patterns.clone()).await;
        if let Err(error) = &seen
            && !self.is_blind
        {
            tracing::warn!(%error, "the interfaces cannot be looked at: no change is seen until they can");
        }
        self.is_blind = seen.is_err();
        let Ok(now) = seen else {
            return Vec::new();
        };
        let differences = self.known.as_ref().map(|known| now.since(known));
        self.known = Some(now);
        differences.unwrap_or_default()
    }
}

async fn take(patterns: Patterns) -> io::Result<Snapshot> {
    let look = tokio::task::spawn_blocking(move || Snapshot::take(&patterns));
    timeout(LOOK_MAX, look).await??
}
