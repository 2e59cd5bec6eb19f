//! What of each upload the others were told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Redis;
use crate::store::StoreError;
use crate::upload::UploadKey;

/// Most uploads that are named at a time as changed.
const BEHIND_MAX: usize = 1_000;

/// The revision of an upload that is told, and when: what Redis was told before it lost everything
/// does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    generation: u64,
    revision: u64,
}

/// What the others were told of every upload, and what not: some 50 bytes each.
#[derive(Debug, Default)]
pub(super) struct Tellings {
    /// Grows whenever Redis turns out to have lost what it was told.
    generation: AtomicU64,
    /// In which generation the others were told of every upload there was.
    listed: Mutex<Option<u64>>,
    /// Whether Redis has answered a beat.
    has_met: AtomicBool,
    /// Which run of Redis is used, nothing where it does not say so; and over which connection it said so.
    run: Mutex<Option<(String, u64)>>,
    /// When Redis was found to have lost everything.
    lost: Mutex<Option<Instant>>,
    /// `None`: it is to be told.
    told: Mutex<HashMap<UploadKey, Option<Stated>>>,
}

impl Tellings {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, Option<Stated>>> {
        lock(&self.told)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds the lock can leave a half-made change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Redis {
    pub(super) fn generation(&self) -> u64 {
        self.shared.tellings.generation.load(Ordering::Acquire)
    }

    /// What is noted when a revision is told that is read now.
    pub(super) fn telling(&self, revision: u64) -> Stated {
        Stated {
            generation: self.generation(),
            revision,
        }
    }

    /// The revision of an upload that the others know.
    pub(super) fn revision_told(&self, key: UploadKey) -> Option<u64> {
        let told = *self.shared.tellings.lock().get(&key)?;
        told.filter(|told| told.generation == self.generation())
            .map(|told| told.revision)
    }

    /// Notes whether an upload was told of.
    pub(super) fn note_told(&self, key: UploadKey, now: Stated, told: &Result<(), StoreError>) {
        let mut tellings = self.shared.tellings.lock();
        match told {
            Ok(()) => drop(tellings.insert(key, Some(now))),
            Err(StoreError::Unavailable) => drop(tellings.insert(key, None)),
            Err(_) => drop(tellings.remove(&key)),
        }
    }

    /// Notes that there is no such upload any more.
    pub(super) fn forget_told(&self, key: UploadKey) {
        self.shared.tellings.lock().remove(&key);
    }

    /// Notes that Redis has lost all it was told.
    pub(super) fn forget_all_told(&self) {
        let tellings = &self.shared.tellings;
        let mut told = tellings.lock();
        tellings.generation.fetch_add(1, Ordering::AcqRel);
        *told = HashMap::new();
    }

    /// Notes that the others were told of every upload that there was in this generation, but for
    /// what is still to be told.
    pub(super) fn note_all_told(&self, generation: u64) {
        *lock(&self.shared.tellings.listed) = Some(generation);
    }

    /// Whether the others were told of every upload of this server's.
    pub(super) fn has_told_all(&self) -> bool {
        let listed = *lock(&self.shared.tellings.listed);
        let told = self.shared.tellings.lock();
        listed == Some(self.generation()) && told.values().all(Option::is_some)
    }

    /// Notes that an upload is to be told.
    pub(super) fn note_behind(&self, key: UploadKey) {
        self.shared.tellings.lock().insert(key, None);
    }

    /// Uploads that are to be told.
    pub(super) fn behind(&self) -> Vec<UploadKey> {
        let told = self.shared.tellings.lock();
        let behind = told.iter().filter(|(_, told)| told.is_none());
        behind.map(|(key, _)| *key).take(BEHIND_MAX).collect()
    }

    /// Notes that Redis has answered, and when it lost everything, if it did not long ago.
    pub(super) fn note_met(&self, lost_ago: Option<Duration>) {
        let tellings = &self.shared.tellings;
        tellings.has_met.store(true, Ordering::Release);
        *lock(&tellings.lost) = lost_ago.and_then(|ago| Instant::now().checked_sub(ago));
    }

    /// Whether Redis can have lost something: not for a server that is new and has not met it.
    pub(super) fn had_something(&self) -> bool {
        self.shared.tellings.has_met.load(Ordering::Acquire) || !self.shared.identity.is_new
    }

    /// Which run of Redis is used, as far as this server has asked.
    pub(super) fn run(&self) -> String {
        let run = lock(&self.shared.tellings.run).clone();
        run.map_or_else(String::new, |(run, _)| run)
    }

    /// The same where it is sure: over the connection there is.
    pub(super) fn sure_run(&self) -> Option<String> {
        let (run, connection) = lock(&self.shared.tellings.run).clone()?;
        (connection == self.shared.link.connections()).then_some(run)
    }

    pub(super) fn note_run(&self, run: String, connection: u64) {
        *lock(&self.shared.tellings.run) = Some((run, connection));
    }

    /// Whether Redis has lost everything within this time.
    pub(super) fn has_lost_all(&self, within: Duration) -> bool {
        let lost = *lock(&self.shared.tellings.lost);
        lost.is_some_and(|at| at.elapsed() < within)
    }
}
