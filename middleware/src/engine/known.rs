use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::upload::{Record, State, Timestamp, UploadKey};

/// What is remembered of every upload, open or not, so that nobody has to read its log to learn that
/// nothing is to be done: some 50 bytes each.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<UploadKey, Seen>>);

#[derive(Clone, Copy)]
struct Seen {
    /// It does not expire before this second since the epoch.
    due: u32,
    stage: Stage,
}

/// What an upload was when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for bytes, or for its handler.
    Unfinished,
    /// It ended, and its bytes may be wanted again.
    Kept,
    /// It ended, and its bytes go.
    Ended,
    /// Its log was put aside.
    Lost,
}

impl Stage {
    pub(super) fn of(record: &Record) -> Self {
        let is_handlers = record.answer.is_some();
        match record.state {
            _ if record.ended.is_none() => Self::Unfinished,
            State::Rejected if is_handlers => Self::Kept,
            _ => Self::Ended,
        }
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, Seen>> {
        // No code that holds the lock can leave a half-made change behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an upload does not expire before `due`.
    pub(super) fn note(&self, key: UploadKey, due: Timestamp, stage: Stage) {
        self.lock().insert(key, Seen::new(due, stage));
    }

    /// The same for what was read a moment ago, unless there is newer news.
    pub(super) fn discover(&self, key: UploadKey, due: Timestamp, stage: Stage) {
        self.lock().entry(key).or_insert(Seen::new(due, stage));
    }

    pub(super) fn forget(&self, key: UploadKey) {
        self.lock().remove(&key);
    }

    pub(super) fn forget_all(&self) {
        *self.lock() = HashMap::new();
    }

    pub(super) fn stage(&self, key: UploadKey) -> Option<Stage> {
        self.lock().get(&key).map(|seen| seen.stage)
    }

    /// Whether an upload may have expired.
    pub(super) fn is_due(&self, key: UploadKey, now: Timestamp) -> bool {
        self.lock().get(&key).is_none_or(|seen| seen.is_due(now))
    }

    /// The uploads that may have expired.
    pub(super) fn due(&self, now: Timestamp) -> Vec<UploadKey> {
        let known = self.lock();
        let due = known.iter().filter(|(_, seen)| seen.is_due(now));
        due.map(|(&key, _)| key).collect()
    }
}

impl Seen {
    fn new(due: Timestamp, stage: Stage) -> Self {
        let due = u32::try_from(due.0 / 1_000).unwrap_or(u32::MAX);
        Self { due, stage }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        u64::from(self.due) <= now.0 / 1_000
    }
}
