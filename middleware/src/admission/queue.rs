use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::line::{Asking, Figures, Line, Verdict};
use super::scale::Limits;

/// The queue of chunks whose last byte has arrived, and that no worker has begun to make durable.
/// Those of one upload that are flushed together have one place in it, and the ones that end
/// meanwhile come after them: it holds each upload once.
///
/// 1. A chunk waits from its last byte on, so a slow client takes no room: bodies that are still
///    coming are not counted. Those that were let in while there was room may therefore make the
///    queue longer than it is to be, by as many as there are uploads at once.
/// 2. While it is full, requests that are to bring bytes wait before their bodies are read. When it
///    has room again, all who wait may come, so that no upload keeps another out however many requests
///    it has; whoever has seen no room for two seconds is refused.
/// 3. Its length decides how many workers there are.
pub struct Queue(Arc<Shared>);

struct Shared {
    line: Mutex<Line>,
    opened: Notify,
    employ: Box<dyn Fn(usize) + Send + Sync>,
}

/// The place of an upload's chunks in the queue, until it is dropped.
pub struct Place(Arc<Shared>);

/// No room was seen in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Queue {
    /// An empty one. `employ` is told how many workers there may be, now and whenever that changes;
    /// it must not come back to the queue.
    pub fn new(limits: Limits, employ: impl Fn(usize) + Send + Sync + 'static) -> Self {
        employ(limits.base);
        Self(Arc::new(Shared {
            line: Mutex::new(Line::new(limits)),
            opened: Notify::new(),
            employ: Box::new(employ),
        }))
    }

    /// Counts in an upload whose chunks wait for a worker.
    #[must_use]
    pub fn enter(&self) -> Place {
        let now = Instant::now();
        let mut line = self.0.lock();
        line.enter(now);
        self.0.adjust(&mut line, now);
        Place(Arc::clone(&self.0))
    }

    /// Whether requests that are to bring bytes have to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.lock().is_full()
    }

    /// Waits for room.
    ///
    /// # Errors
    /// [`Busy`] after two seconds.
    pub async fn room(&self) -> Result<(), Busy> {
        // While it is full, few chunks come that would see to it.
        self.adjust();
        let Some(asking) = self.0.lock().ask(Instant::now()) else {
            return Ok(());
        };
        let _counted = Counted(&self.0);
        self.0.wait(&asking).await
    }

    /// Has other limits from now on.
    pub fn limit(&self, limits: Limits) {
        let mut line = self.0.lock();
        let before = line.figures().workers;
        let opens = line.limit(limits, Instant::now());
        self.0.employ(before, &line);
        drop(line);
        if opens {
            self.0.opened.notify_waiters();
        }
    }

    /// Adds or takes away a worker if it is time, which is seen to whenever a chunk comes: this is
    /// for when none does.
    pub fn adjust(&self) {
        self.0.adjust(&mut self.0.lock(), Instant::now());
    }

    /// How it is now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.lock().figures()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Line> {
        // No code that holds the lock can leave a half-made change behind.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, asking: &Asking) -> Result<(), Busy> {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            let verdict = self.lock().verdict(asking, Instant::now());
            match verdict {
                Verdict::Come => return Ok(()),
                // Either way it is looked at again.
                Verdict::Wait(until) => drop(timeout_at(until, opened).await),
                Verdict::Refused => return Err(Busy),
            }
        }
    }

    /// While the line is locked, so that the workers hear of changes in their order.
    fn adjust(&self, line: &mut Line, now: Instant) {
        let before = line.figures().workers;
        line.adjust(now);
        self.employ(before, line);
    }

    /// Tells of the number of workers if it is not what it was.
    fn employ(&self, before: usize, line: &Line) {
        let Figures { workers, queue, .. } = line.figures();
        if workers != before {
            (self.employ)(workers);
            tracing::info!(queue, "Workers: {before} => {workers}");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let opens = self.0.lock().leave(Instant::now());
        if opens {
            self.0.opened.notify_waiters();
        }
    }
}

/// Counts a request out that has waited, or has left.
struct Counted<'a>(&'a Shared);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.lock().end();
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.0.lock()).finish()
    }
}
