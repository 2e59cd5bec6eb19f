use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::upload::{Record, State, Timestamp, UploadKey};

/// What is remembered of every upload, open or not, so that nobody has to read its log to learn that
/// nothing is to be done: some 60 bytes each.
#[derive(Default)]
pub(super) struct Known(Mutex<Uploads>);

#[derive(Default)]
struct Uploads {
    seen: HashMap<UploadKey, Seen>,
    /// How many are in which stage, by [`Stage::at`].
    counts: [usize; Stage::LABELS.len()],
}

#[derive(Clone, Copy)]
struct Seen {
    created: Timestamp,
    /// It does not expire before this second since the epoch.
    due: u32,
    stage: Stage,
}

/// What an upload was when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for bytes, or for its handler.
    Unfinished(State),
    /// It ended, and its bytes may be wanted again.
    Kept,
    /// It ended, and its bytes go.
    Ended(State),
    /// Its log was put aside.
    Lost,
}

impl Stage {
    pub(super) fn of(record: &Record) -> Self {
        let is_handlers = record.answer.is_some();
        match record.state {
            state if record.ended.is_none() => Self::Unfinished(state),
            State::Rejected if is_handlers => Self::Kept,
            state => Self::Ended(state),
        }
    }

    /// What uploads are counted by: their states, and those that are lost.
    const LABELS: [&str; 8] = [
        State::Receiving.name(),
        State::Finishing.name(),
        State::Undelivered.name(),
        State::Unknown.name(),
        State::Completed.name(),
        State::Rejected.name(),
        State::Cancelled.name(),
        "lost",
    ];

    /// Where its label is.
    fn at(self) -> usize {
        match self {
            Self::Unfinished(state) | Self::Ended(state) => state as usize,
            Self::Kept => State::Rejected as usize,
            Self::Lost => Self::LABELS.len() - 1,
        }
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Uploads> {
        // No code that holds the lock can leave a half-made change behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how an upload stands, and that it does not expire before `due`.
    pub(super) fn note(&self, key: UploadKey, due: Timestamp, record: &Record) {
        self.lock().put(key, Seen::new(due, record));
    }

    /// The same for what was read a moment ago, unless there is newer news.
    pub(super) fn discover(&self, key: UploadKey, due: Timestamp, record: &Record) {
        let mut uploads = self.lock();
        if !uploads.seen.contains_key(&key) {
            uploads.put(key, Seen::new(due, record));
        }
    }

    /// Notes how an upload stands since a moment ago. When it expires is known before, or is to be
    /// found out.
    pub(super) fn moved(&self, key: UploadKey, record: &Record) {
        let mut uploads = self.lock();
        let mut seen = Seen::new(Timestamp(0), record);
        seen.due = uploads.seen.get(&key).map_or(seen.due, |seen| seen.due);
        uploads.put(key, seen);
    }

    /// Notes that an upload is lost.
    pub(super) fn lose(&self, key: UploadKey, due: Timestamp) {
        self.lock().put(key, Seen::lost(due));
    }

    /// The same for what was found a moment ago, unless there is newer news.
    pub(super) fn discover_lost(&self, key: UploadKey, due: Timestamp) {
        let mut uploads = self.lock();
        if !uploads.seen.contains_key(&key) {
            uploads.put(key, Seen::lost(due));
        }
    }

    /// Notes that nothing is to be done about an upload before `due`.
    pub(super) fn put_off(&self, key: UploadKey, due: Timestamp) {
        let mut uploads = self.lock();
        let before = uploads.seen.get(&key).copied();
        // What was never read is taken for unfinished.
        let unread = Stage::Unfinished(State::Receiving);
        let seen = Seen {
            due: seconds(due),
            ..before.unwrap_or(Seen {
                stage: unread,
                ..Seen::lost(due)
            })
        };
        uploads.put(key, seen);
    }

    /// Has every upload looked at: what is waited for it for may be less than it was.
    pub(super) fn look_at_all(&self) {
        let mut uploads = self.lock();
        let there = |seen: &&mut Seen| seen.stage != Stage::Lost;
        uploads
            .seen
            .values_mut()
            .filter(there)
            .for_each(|seen| seen.due = 0);
    }

    pub(super) fn forget(&self, key: UploadKey) {
        let mut uploads = self.lock();
        if let Some(seen) = uploads.seen.remove(&key) {
            uploads.counts[seen.stage.at()] -= 1;
        }
    }

    pub(super) fn forget_all(&self) {
        *self.lock() = Uploads::default();
    }

    pub(super) fn stage(&self, key: UploadKey) -> Option<Stage> {
        self.lock().seen.get(&key).map(|seen| seen.stage)
    }

    /// Whether an upload may have expired.
    pub(super) fn is_due(&self, key: UploadKey, now: Timestamp) -> bool {
        self.lock()
            .seen
            .get(&key)
            .is_none_or(|seen| seen.is_due(now))
    }

    /// The uploads that may have expired.
    pub(super) fn due(&self, now: Timestamp) -> Vec<UploadKey> {
        let uploads = self.lock();
        let due = uploads.seen.iter().filter(|(_, seen)| seen.is_due(now));
        due.map(|(&key, _)| key).collect()
    }

    /// How many uploads are in which state, and how many are lost.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let counts = self.lock().counts;
        Stage::LABELS.into_iter().zip(counts)
    }

    /// The newest uploads before `before`, newest first, `limit` at most; none that is lost.
    pub(super) fn newest(
        &self,
        before: Option<(Timestamp, UploadKey)>,
        limit: usize,
    ) -> Vec<(Timestamp, UploadKey)> {
        // Made before the lock is taken; the oldest on top, which gives way to newer ones.
        let mut found = BinaryHeap::with_capacity(limit);
        let uploads = self.lock();
        for (&key, seen) in &uploads.seen {
            let place = Reverse((seen.created, key));
            let is_later = before.is_none_or(|before| place.0 < before);
            if seen.stage == Stage::Lost || !is_later {
                continue;
            }
            if found.len() < limit {
                found.push(place);
            } else if let Some(mut oldest) = found.peek_mut()
                && place < *oldest
            {
                *oldest = place;
            }
        }
        drop(uploads);
        let found = found.into_sorted_vec();
        found.into_iter().map(|Reverse(place)| place).collect()
    }
}

impl Uploads {
    fn put(&mut self, key: UploadKey, seen: Seen) {
        if let Some(before) = self.seen.insert(key, seen) {
            self.counts[before.stage.at()] -= 1;
        }
        self.counts[seen.stage.at()] += 1;
    }
}

fn seconds(due: Timestamp) -> u32 {
    u32::try_from(due.0 / 1_000).unwrap_or(u32::MAX)
}

impl Seen {
    fn new(due: Timestamp, record: &Record) -> Self {
        Self {
            created: record.header.created,
            due: seconds(due),
            stage: Stage::of(record),
        }
    }

    fn lost(due: Timestamp) -> Self {
        Self {
            created: Timestamp(0),
            due: seconds(due),
            stage: Stage::Lost,
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        u64::from(self.due) <= now.0 / 1_000
    }
}
