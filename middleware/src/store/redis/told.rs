//! What of each upload the others were told.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Redis;
use crate::store::StoreError;
use crate::upload::UploadKey;

/// Servers that are there have said so again this long after Redis lost everything.
const RETURN_WITHIN: Duration = Duration::from_secs(2);

/// A server that is away when Redis loses everything is waited for this long: what nobody knows may
/// be its own.
const EXPECTED_FOR: Duration = Duration::from_secs(600);

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
    /// Whether the others were told of every upload of this server's.
    all: AtomicBool,
    /// Whether they were told that this server is there.
    said: AtomicBool,
    /// Which run of Redis is used.
    run: Mutex<Option<String>>,
    /// The servers that are there, or were.
    names: Mutex<HashSet<String>>,
    /// When Redis was found to have lost everything.
    lost: Mutex<Option<Instant>>,
    /// `None`: the upload has changed since.
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
        tellings.all.store(false, Ordering::Release);
        *lock(&tellings.lost) = Some(Instant::now());
        let mut told = tellings.lock();
        tellings.generation.fetch_add(1, Ordering::AcqRel);
        *told = HashMap::new();
    }

    /// Notes that the others were told of every upload, unless all was lost meanwhile or something
    /// could not be told.
    pub(super) fn note_all_told(&self, generation: u64) {
        let told = self.shared.tellings.lock();
        if generation == self.generation() && told.values().all(Option::is_some) {
            self.shared.tellings.all.store(true, Ordering::Release);
        }
    }

    /// Notes the servers that are there. Those that were there when Redis lost everything are
    /// remembered for a while.
    pub(super) fn note_servers(&self, names: &[String]) {
        let tellings = &self.shared.tellings;
        let lost = *lock(&tellings.lost);
        let mut known = lock(&tellings.names);
        if lost.is_none_or(|at| at.elapsed() >= EXPECTED_FOR) {
            known.clear();
        }
        known.extend(names.iter().cloned());
    }

    /// Whether a server is missing among `names` that was there.
    pub(super) fn is_one_missing(&self, names: &[String]) -> bool {
        let known = lock(&self.shared.tellings.names);
        known.iter().any(|known| !names.contains(known))
    }

    /// Whether this is another run of Redis than before, which may have come back with older data.
    pub(super) fn is_another_run(&self, run: Option<&str>) -> bool {
        let known = lock(&self.shared.tellings.run);
        known.is_some() && known.as_deref() != run
    }

    /// Notes which run of Redis is used.
    pub(super) fn note_run(&self, run: Option<String>) {
        *lock(&self.shared.tellings.run) = run;
    }

    /// Notes that the others were told that this server is there.
    pub(super) fn note_said(&self) {
        self.shared.tellings.said.store(true, Ordering::Release);
    }

    /// Whether that is so.
    pub(super) fn has_told_all(&self) -> (bool, bool) {
        let Tellings { all, said, .. } = &self.shared.tellings;
        (all.load(Ordering::Acquire), said.load(Ordering::Acquire))
    }

    /// Whether Redis has lost everything a moment ago.
    pub(super) fn has_just_lost_all(&self) -> bool {
        let lost = *lock(&self.shared.tellings.lost);
        lost.is_some_and(|at| at.elapsed() < RETURN_WITHIN)
    }

    /// The uploads that have changed since they were told of.
    pub(super) fn behind(&self) -> Vec<UploadKey> {
        let mut tellings = self.shared.tellings.lock();
        let behind = tellings.extract_if(|_, told| told.is_none());
        behind.map(|(key, _)| key).collect()
    }
}
