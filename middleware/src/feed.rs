//! The events of one upload as a response body: `text/event-stream`.
//!
//! A stream begins with the status and keeps no history: who did not keep up, or comes again, gets
//! the status again. It ends with its upload, and when the server is asked to end. It holds one of
//! the places for streams, which is free again as soon as its connection is gone.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::OnUnknown;
use crate::engine::{Engine, Gaps, View};
use crate::event::{Change, Event, Watch, What};
use crate::protocol::chunked;
use crate::upload::{SessionId, State};

/// The shortest time between two events that only tell of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// What is told of an upload as it happens.
pub(crate) struct Feed {
    engine: Arc<Engine>,
    id: SessionId,
    on_unknown: OnUnknown,
    watch: Watch,
    ending: CancellationToken,
    /// What is to be sent first.
    first: Option<Bytes>,
    /// How the upload stands, as far as the client knows.
    last: Change,
    paused: bool,
    /// Progress that the client does not know yet, and when it may.
    held: Option<Change>,
    progress_due: Instant,
    is_over: bool,
}

impl Feed {
    /// Goes on from how the upload stands.
    pub(crate) fn new(
        engine: Arc<Engine>,
        id: SessionId,
        on_unknown: OnUnknown,
        (watch, view, gaps): (Watch, &View, &Gaps),
    ) -> Self {
        let mut feed = Self {
            ending: engine.ending(),
            engine,
            on_unknown,
            watch,
            first: None,
            last: change(view),
            paused: false,
            held: None,
            progress_due: Instant::now(),
            is_over: false,
            id,
        };
        feed.first = Some(feed.begin(view, gaps));
        feed
    }

    /// The next part of the body; `None` at its end.
    async fn next(mut self) -> (Option<Bytes>, Self) {
        if let Some(first) = self.first.take() {
            return (Some(first), self);
        }
        let heartbeat = Instant::now() + HEARTBEAT_EVERY;
        while !self.is_over {
            let (ending, due) = (self.ending.clone(), self.progress_due);
            let happened = tokio::select! {
                biased;
                () = ending.cancelled() => break,
                () = sleep_until(due), if self.held.is_some() => {
                    let progress = self.progress();
                    return (progress, self);
                }
                happened = self.watch.next() => happened,
                () = sleep_until(heartbeat) => return (Some(chunked::HEARTBEAT), self),
            };
            let told = match happened {
                Some(Event::Upload(change)) => self.heed(change).await,
                Some(Event::Paused) => self.pause(true),
                Some(Event::Resumed) => self.pause(false),
                // Some events were lost.
                None => self.begin_anew().await,
            };
            if told.is_some() {
                return (told, self);
            }
        }
        (None, self)
    }

    /// The status as the first event.
    fn begin(&mut self, view: &View, gaps: &Gaps) -> Bytes {
        (self.last, self.paused, self.held) = (change(view), view.paused, None);
        self.is_over = view.state.is_final();
        chunked::snapshot(&self.id, view, gaps, self.on_unknown)
    }

    /// The same, where the client has missed something; nothing where there is no upload any more.
    async fn begin_anew(&mut self) -> Option<Bytes> {
        match self.engine.standing(&self.id).await {
            Ok((view, gaps)) => Some(self.begin(&view, &gaps)),
            Err(_) => {
                self.is_over = true;
                None
            }
        }
    }

    async fn heed(&mut self, change: Change) -> Option<Bytes> {
        let is_known = change.revision <= self.last.revision && change.what != What::Expired;
        if is_known {
            return None;
        }
        if change.what == What::Progress {
            self.held = Some(change);
            return None;
        }
        // It says all that was held back.
        (self.last, self.held) = (change, None);
        self.is_over = change.what.is_final();
        if self.is_over
            && let Ok((view, gaps)) = self.engine.standing(&self.id).await
        {
            let (what, id) = (change.what, &self.id);
            return Some(chunked::whole(what, id, &view, &gaps, self.on_unknown));
        }
        Some(chunked::changed(&change, self.paused, self.on_unknown))
    }

    fn progress(&mut self) -> Option<Bytes> {
        let change = self.held.take()?;
        self.last = change;
        self.progress_due = Instant::now() + PROGRESS_EVERY;
        Some(chunked::changed(&change, self.paused, self.on_unknown))
    }

    /// Tells that the upload waits or goes on, unless that is known, or is nothing to it.
    fn pause(&mut self, paused: bool) -> Option<Bytes> {
        if std::mem::replace(&mut self.paused, paused) == paused {
            return None;
        }
        let last = self.held.take().unwrap_or(self.last);
        self.last = last;
        let waits = last.state == State::Receiving;
        waits.then(|| chunked::pause(&last, paused, self.on_unknown))
    }
}

fn change(view: &View) -> Change {
    Change::new(
        view.key,
        What::reached(view.state),
        (view.state, view.revision),
        (view.uploaded, view.header.declaration.total),
    )
}

type Next = Pin<Box<dyn Future<Output = (Option<Bytes>, Feed)> + Send>>;

/// A feed as a body. Nothing of it lives on when it is dropped.
pub(crate) struct FeedBody {
    /// Locked by nobody: it makes what can be sent between threads shareable, as bodies of apps
    /// may have to be.
    next: Option<Mutex<Next>>,
}

impl FeedBody {
    pub(crate) fn new(feed: Feed) -> Self {
        let next: Next = Box::pin(feed.next());
        Self {
            next: Some(Mutex::new(next)),
        }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let next = next.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (bytes, feed) = ready!(next.as_mut().poll(cx));
        match &bytes {
            Some(_) => *next = Box::pin(feed.next()),
            None => self.next = None,
        }
        Poll::Ready(bytes)
    }
}
