//! What of each upload the others were told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Redis;
use crate::store::StoreError;
use crate::upload::UploadKey;

/// The revision of an upload that is told, and when: what Redis was told before it lost everything
/// does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    generation: u64,
    revision: u64,
}

/// What the others were told of every upload, and what not: some 50 bytes each.
#[derive(Debug, Default)]
pub(super) struct Tellings {
    /// Grows whenever Redis turns out to have lost what it was told.
    generation: AtomicU64,
    /// `None`: the upload has changed since.
    told: Mutex<HashMap<UploadKey, Option<Told>>>,
}

impl Tellings {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, Option<Told>>> {
        // No code that holds the lock can leave a half-made change behind.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Redis {
    fn generation(&self) -> u64 {
        self.shared.tellings.generation.load(Ordering::Acquire)
    }

    /// What is noted when a revision is told that is read now.
    pub(super) fn telling(&self, revision: u64) -> Told {
        Told {
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
    pub(super) fn note_told(&self, key: UploadKey, now: Told, told: &Result<(), StoreError>) {
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
        tellings.generation.fetch_add(1, Ordering::AcqRel);
        *tellings.lock() = HashMap::new();
    }

    /// The uploads that have changed since they were told of.
    pub(super) fn behind(&self) -> Vec<UploadKey> {
        let mut tellings = self.shared.tellings.lock();
        let behind = tellings.extract_if(|_, told| told.is_none());
        behind.map(|(key, _)| key).collect()
    }
}
