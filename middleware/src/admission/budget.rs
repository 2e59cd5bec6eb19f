use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::upload::{Owner, Timestamp, UploadKey};

/// Only uploads active within this time hold space for what they still expect: a claim of
/// gigabytes that nobody sends must not keep others out.
const RESERVED_FOR: Duration = Duration::from_secs(3600);

/// What unfinished uploads may take.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Unfinished uploads; 0 = any number.
    pub sessions: usize,
    /// Unfinished uploads of one owner; 0 = any number.
    pub sessions_per_owner: usize,
    /// Free space in bytes, as far as it is known.
    pub free_space: Option<u64>,
    /// Bytes of it that stay free.
    pub keep_free: u64,
}

/// An upload that asks for room.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which upload.
    pub key: UploadKey,
    /// Whose.
    pub owner: &'a Owner,
    /// Bytes it will bring.
    pub bytes: u64,
    /// Now.
    pub now: Timestamp,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Too many unfinished uploads, of all or of this owner.
    Sessions,
    /// Too little free space.
    Space,
}

/// Counts unfinished uploads and the bytes they still expect.
#[derive(Debug, Default)]
pub struct Budget {
    uploads: Mutex<HashMap<UploadKey, Reserved>>,
}

#[derive(Debug)]
struct Reserved {
    owner: Owner,
    bytes: u64,
    active: Timestamp,
}

impl Budget {
    /// Counts an upload in if there is room for it.
    ///
    /// # Errors
    /// [`Full`] says what there is too little of; nothing is counted then.
    pub fn reserve(&self, request: &Request<'_>, allowance: &Allowance) -> Result<(), Full> {
        let mut uploads = self.lock();
        let of_owner = |reserved: &&Reserved| reserved.owner == *request.owner;
        let full = |limit: usize, count: usize| limit > 0 && count >= limit;
        if full(allowance.sessions, uploads.len())
            || (allowance.sessions_per_owner > 0
                && full(
                    allowance.sessions_per_owner,
                    uploads.values().filter(of_owner).count(),
                ))
        {
            return Err(Full::Sessions);
        }
        if let Some(free) = allowance.free_space {
            let expected = expected(&uploads, request.now);
            let usable = free
                .saturating_sub(allowance.keep_free)
                .saturating_sub(expected);
            if request.bytes > usable {
                return Err(Full::Space);
            }
        }
        let owner = request.owner.clone();
        uploads.insert(
            request.key,
            Reserved {
                owner,
                bytes: request.bytes,
                active: request.now,
            },
        );
        Ok(())
    }

    /// Counts an upload in of which nothing is known yet, whatever room there is; it may be
    /// released or updated from now on. Changes nothing where it is counted already.
    pub fn admit(&self, key: UploadKey, now: Timestamp) {
        let unknown = Reserved {
            owner: Owner::default(),
            bytes: 0,
            active: now,
        };
        self.lock().entry(key).or_insert(unknown);
    }

    /// Notes what has become known of an upload that is still counted.
    pub fn describe(&self, request: &Request<'_>) {
        if let Some(reserved) = self.lock().get_mut(&request.key) {
            *reserved = Reserved {
                owner: request.owner.clone(),
                bytes: request.bytes,
                active: request.now,
            };
        }
    }

    /// Notes that an upload received bytes and expects `remaining` more.
    pub fn update(&self, key: UploadKey, remaining: u64, now: Timestamp) {
        if let Some(reserved) = self.lock().get_mut(&key) {
            reserved.bytes = remaining;
            reserved.active = now;
        }
    }

    /// Counts an upload out.
    pub fn release(&self, key: UploadKey) {
        self.lock().remove(&key);
    }

    /// Number of unfinished uploads.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, Reserved>> {
        // No code that holds the lock can leave a half-made change behind.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expected(uploads: &HashMap<UploadKey, Reserved>, now: Timestamp) -> u64 {
    let active = uploads
        .values()
        .filter(|reserved| now.since(reserved.active) < RESERVED_FOR);
    active.fold(0, |sum, reserved| sum.saturating_add(reserved.bytes))
}
