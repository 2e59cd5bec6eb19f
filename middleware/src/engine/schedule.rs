use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::deliver::Deliver;
use super::verify::Checked;
use crate::upload::{Entry, UploadKey};

/// An upload that is to be handed over, and what is known of it between two attempts.
pub(super) struct Job {
    pub(super) key: UploadKey,
    pub(super) deliver: Arc<dyn Deliver>,
    /// Attempts in a row that failed and are not on record.
    pub(super) failures: u32,
    /// What a look at the bytes led to, so that the next attempt need not look again.
    pub(super) checked: Option<Checked>,
    /// Whether somebody asked for it although its handler has decided.
    pub(super) again: bool,
    /// What the handler did, while the log does not take it: asking it again would be worse.
    pub(super) outcome: Option<Entry>,
}

impl Job {
    fn new(key: UploadKey, deliver: &Arc<dyn Deliver>) -> Self {
        Self {
            key,
            deliver: Arc::clone(deliver),
            failures: 0,
            checked: None,
            again: false,
            outcome: None,
        }
    }
}

/// When a job is due, and in which order among those of the same moment.
type Turn = (Instant, u64);

/// The uploads that are to be handed over, by when their next attempt is due. One that waits is no
/// more than a [`Job`]: none of its files is open.
#[derive(Default)]
pub(super) struct Schedule {
    inner: Mutex<Inner>,
    /// Told of every change.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    /// Whether somebody takes the jobs that are due.
    is_served: bool,
    tickets: u64,
    /// Every upload that is here; those without a turn are being attempted.
    turns: HashMap<UploadKey, Option<Turn>>,
    waiting: BTreeMap<Turn, Job>,
    /// Those being attempted that are to be once more, and for whom.
    wishes: HashMap<UploadKey, Arc<dyn Deliver>>,
}

impl Schedule {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can leave a half-made change behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an upload due now, unless it is already or is being attempted; whether it did. With
    /// `again` also one whose handler has decided, and one that is being attempted when that is
    /// over, unless its handler is called only then.
    pub(super) fn want(&self, key: UploadKey, deliver: &Arc<dyn Deliver>, again: bool) -> bool {
        let mut inner = self.lock();
        let job = match inner.turns.get(&key).copied() {
            _ if inner.closed => return false,
            Some(None) => {
                if again {
                    inner.wishes.insert(key, Arc::clone(deliver));
                }
                return false;
            }
            Some(Some(turn)) if turn.0 <= Instant::now() => {
                if let Some(job) = inner.waiting.get_mut(&turn) {
                    job.again |= again;
                }
                return false;
            }
            Some(Some(turn)) => inner.waiting.remove(&turn),
            None => None,
        };
        let mut job = job.unwrap_or_else(|| Job::new(key, deliver));
        job.again |= again;
        inner.wait(job, Instant::now());
        drop(inner);
        self.changed.notify_waiters();
        true
    }

    /// Whether the caller is to take the jobs that are due, by [`Schedule::next`], until there
    /// are none.
    pub(super) fn is_to_be_served(&self) -> bool {
        let mut inner = self.lock();
        let idle = !inner.is_served && !inner.waiting.is_empty();
        inner.is_served |= idle;
        idle
    }

    /// The next job, when it is due; `None` when none waits.
    pub(super) async fn next(&self) -> Option<Job> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let due = {
                let mut inner = self.lock();
                match inner.waiting.first_entry() {
                    None => {
                        inner.is_served = false;
                        return None;
                    }
                    Some(first) if first.key().0 <= Instant::now() => {
                        let job = first.remove();
                        inner.turns.insert(job.key, None);
                        return Some(job);
                    }
                    Some(first) => first.key().0,
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = changed => {}
            }
        }
    }

    /// Says that an attempt has come to calling the handler: it is the one that was wished for.
    pub(super) fn begun(&self, key: UploadKey) {
        self.lock().wishes.remove(&key);
    }

    /// Says that an attempt is over: the next one is to be made after the delay, or none, unless
    /// somebody has wished for it meanwhile.
    pub(super) fn attempted(&self, key: UploadKey, next: Option<(Job, Duration)>) {
        let mut inner = self.lock();
        inner.turns.remove(&key);
        let next = match inner.wishes.remove(&key) {
            None => next,
            Some(deliver) => {
                let mut job = next.map_or_else(|| Job::new(key, &deliver), |(job, _)| job);
                job.again = true;
                Some((job, Duration::ZERO))
            }
        };
        if let Some((job, delay)) = next.filter(|_| !inner.closed) {
            inner.wait(job, Instant::now() + delay);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Makes no more attempts but the one that is being made.
    pub(super) fn forget(&self, key: UploadKey) {
        let mut inner = self.lock();
        inner.wishes.remove(&key);
        if let Some(&Some(turn)) = inner.turns.get(&key) {
            inner.turns.remove(&key);
            inner.waiting.remove(&turn);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Ends it: nothing is due any more. Answers what waited.
    pub(super) fn close(&self) -> Vec<Job> {
        self.lock().closed = true;
        self.abandon()
    }

    /// Gives up what waits, and says that nobody serves it.
    pub(super) fn abandon(&self) -> Vec<Job> {
        let mut inner = self.lock();
        inner.is_served = false;
        inner.turns.retain(|_, turn| turn.is_none());
        inner.wishes.clear();
        let waited = std::mem::take(&mut inner.waiting).into_values().collect();
        drop(inner);
        self.changed.notify_waiters();
        waited
    }

    /// Whether attempts are to be made.
    pub(super) fn knows(&self, key: UploadKey) -> bool {
        self.lock().turns.contains_key(&key)
    }

    /// Whether one is being made.
    pub(super) fn is_running(&self, key: UploadKey) -> bool {
        matches!(self.lock().turns.get(&key), Some(None))
    }

    /// Whether an outcome is to be expected soon: the upload does not just wait for its next time.
    pub(super) fn is_busy(&self, key: UploadKey) -> bool {
        let inner = self.lock();
        match inner.turns.get(&key) {
            None => false,
            Some(None) => true,
            Some(Some(turn)) => {
                let job = inner.waiting.get(turn);
                turn.0 <= Instant::now() || job.is_some_and(|job| job.outcome.is_some())
            }
        }
    }

    /// Waits until no attempts at an upload are to be made.
    #[cfg(test)]
    pub(super) async fn ended(&self, key: UploadKey) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.knows(key) {
                return;
            }
            changed.await;
        }
    }
}

impl Inner {
    fn wait(&mut self, job: Job, due: Instant) {
        let turn = (due, self.tickets);
        self.tickets += 1;
        self.turns.insert(job.key, Some(turn));
        self.waiting.insert(turn, job);
    }
}
