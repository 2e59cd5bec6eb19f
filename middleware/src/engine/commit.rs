//! Puts received bytes on record. Chunks of an upload that end while an earlier one is being
//! flushed are put on record together, with one entry each and one flush for all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::active::Active;
use super::claim::Claim;
use super::deliver::Deliver;
use super::{Engine, Refusal};
use crate::upload::{Entry, Span};

/// Chunks of one upload whose last byte has arrived.
#[derive(Default)]
pub(super) struct Commits(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether a task is putting chunks on record and will see to those who wait.
    led: bool,
}

struct Waiting {
    entry: Entry,
    /// Kept until the entry is on record: nobody may write these bytes meanwhile.
    claim: Arc<Claim>,
    done: oneshot::Sender<Result<(), Refusal>>,
}

impl Commits {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock can leave a half-made change behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a chunk; whether the caller is to lead.
    fn push(&self, waiting: Waiting) -> bool {
        let mut queue = self.lock();
        queue.waiting.push(waiting);
        !std::mem::replace(&mut queue.led, true)
    }

    /// Number of those who wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Those who wait; after `None` nobody leads any more.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.lock();
        queue.led = !queue.waiting.is_empty();
        queue.led.then(|| std::mem::take(&mut queue.waiting))
    }
}

/// Lets nobody wait for a leader that panicked.
struct Leading<'a>(&'a Commits);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.lock() = Queue::default();
        }
    }
}

impl Engine {
    /// Puts received bytes on record, in a task of its own: a client that leaves after its last
    /// byte has arrived does not undo it.
    pub(super) async fn commit(
        self: &Arc<Self>,
        active: &Arc<Active>,
        claim: Arc<Claim>,
        span: Span,
        crc: u32,
        deliver: &Arc<dyn Deliver>,
    ) -> Result<(), Refusal> {
        let (done, answer) = oneshot::channel();
        let entry = Entry::Received {
            start: span.start,
            len: span.len,
            crc,
            at: self.clock.now(),
        };
        let waiting = Waiting { entry, claim, done };
        if active.commits.push(waiting) {
            let (engine, active) = (Arc::clone(self), Arc::clone(active));
            let deliver = Arc::clone(deliver);
            self.tasks
                .spawn(async move { engine.lead(&active, &deliver).await });
        }
        answer.await.unwrap_or(Err(Refusal::Internal))
    }

    async fn lead(self: &Arc<Self>, active: &Arc<Active>, deliver: &Arc<dyn Deliver>) {
        let _leading = Leading(&active.commits);
        while let Some(waiting) = active.commits.take() {
            let mut entries = Vec::new();
            let (mut claims, mut callers) = (Vec::new(), Vec::new());
            for waiting in waiting {
                entries.push(waiting.entry);
                claims.push(waiting.claim);
                callers.push(waiting.done);
            }
            // One for all of them: they are one worker's work.
            let place = Box::new(self.queue.enter());
            let results = active.append_received(entries, place).await;
            drop(claims);
            self.note_progress(active);
            self.start_finisher(active, deliver);
            for (done, result) in callers.into_iter().zip(results) {
                // Whose client has left needs no answer.
                let _ = done.send(result);
            }
        }
    }

    fn note_progress(&self, active: &Active) {
        let remaining = {
            let record = &active.lock().record;
            record.header.declaration.total - record.ranges.bytes()
        };
        let now = self.clock.read().steady;
        self.budget.update(active.key, remaining, now);
    }
}
