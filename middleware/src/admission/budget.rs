use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Bytes that one owner's uploads may expect; 0 = any number.
    pub reserved_per_owner: u64,
    /// Free space in bytes, as far as it is known.
    pub free_space: Option<u64>,
    /// Bytes of it that stay free.
    pub keep_free: u64,
}

/// Bytes of free space that uploads may take.
#[must_use]
pub fn usable(free_space: u64, keep_free: u64) -> u64 {
    free_space.saturating_sub(keep_free)
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
    /// Now, by a clock that never goes back.
    pub now: Timestamp,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Too many unfinished uploads, of all or of this owner.
    Sessions,
    /// Too many bytes that this owner's uploads expect.
    Owner,
    /// Too little free space.
    Space,
}

/// Counts unfinished uploads and the bytes they still expect.
///
/// Sums are kept, not computed: a create takes the same time whether there are ten uploads or a
/// hundred thousand.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Counts>);

/// What the uploads of one owner take at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Unfinished uploads.
    pub sessions: usize,
    /// Bytes that those of them expect that hold space.
    pub bytes: u64,
    /// Grows with every look.
    pub version: u64,
}

#[derive(Debug, Default)]
struct Counts {
    uploads: HashMap<UploadKey, Reserved>,
    owners: HashMap<Arc<Owner>, Share>,
    /// The uploads that hold space, the one that was active longest ago first.
    holding: BTreeSet<(Timestamp, UploadKey)>,
    /// What those expect, in bytes.
    expected: u128,
    /// Owners of whom somebody who asks for changes has not heard yet.
    changed: HashSet<Arc<Owner>>,
    /// Whether somebody asks.
    is_watched: bool,
    version: u64,
}

#[derive(Debug)]
struct Reserved {
    owner: Arc<Owner>,
    bytes: u64,
    active: Timestamp,
}

/// What the uploads of one owner take.
#[derive(Debug, Default)]
struct Share {
    sessions: usize,
    /// Bytes that those of them expect that hold space.
    expected: u128,
}

impl Budget {
    /// The same, with a list of the owners whose uploads come to take more or less.
    #[must_use]
    pub fn watched() -> Self {
        let counts = Counts {
            is_watched: true,
            ..Counts::default()
        };
        Self(Mutex::new(counts))
    }

    /// Counts an upload in if there is room for it. Where it is counted already it is counted
    /// anew.
    ///
    /// # Errors
    /// [`Full`] says what there is too little of; nothing is changed then.
    pub fn reserve(&self, request: &Request<'_>, allowance: &Allowance) -> Result<(), Full> {
        let mut counts = self.lock();
        counts.lapse(request.now);
        let before = counts.remove(request.key);
        let verdict = counts.check(request, allowance);
        match (verdict, before) {
            (Ok(()), _) => counts.insert(request.key, Reserved::of(request)),
            (Err(_), Some(before)) => counts.insert(request.key, before),
            (Err(_), None) => {}
        }
        verdict
    }

    /// Counts an upload in of which nothing is known yet, whatever room there is; it may be
    /// released or updated from now on. Changes nothing where it is counted already.
    pub fn admit(&self, key: UploadKey, now: Timestamp) {
        let mut counts = self.lock();
        if !counts.uploads.contains_key(&key) {
            let owner = &Owner::default();
            let unknown = Request {
                key,
                owner,
                bytes: 0,
                now,
            };
            counts.insert(key, Reserved::of(&unknown));
        }
    }

    /// Notes what has become known of an upload that is still counted.
    pub fn describe(&self, request: &Request<'_>) {
        let mut counts = self.lock();
        if counts.remove(request.key).is_some() {
            counts.insert(request.key, Reserved::of(request));
        }
    }

    /// Notes that an upload received bytes and expects `remaining` more.
    pub fn update(&self, key: UploadKey, remaining: u64, now: Timestamp) {
        let mut counts = self.lock();
        if let Some(reserved) = counts.remove(key) {
            let (bytes, active) = (remaining, now);
            counts.insert(
                key,
                Reserved {
                    bytes,
                    active,
                    ..reserved
                },
            );
        }
    }

    /// Counts an upload out.
    pub fn release(&self, key: UploadKey) {
        self.lock().remove(key);
    }

    /// What the uploads of an owner take.
    pub fn taken(&self, owner: &Owner) -> Taken {
        let mut counts = self.lock();
        counts.version += 1;
        let share = counts.owners.get(owner);
        Taken {
            sessions: share.map_or(0, |share| share.sessions),
            bytes: share.map_or(0, |share| u64::try_from(share.expected).unwrap_or(u64::MAX)),
            version: counts.version,
        }
    }

    /// The owners whose uploads have come to take more or less since this was asked before.
    pub fn changed(&self) -> Vec<Arc<Owner>> {
        self.lock().changed.drain().collect()
    }

    /// Counts an owner among those.
    pub fn note_change(&self, owner: &Owner) {
        self.lock().note_change(owner);
    }

    /// Counts every owner among those.
    pub fn note_changes(&self) {
        let mut counts = self.lock();
        let owners: Vec<_> = counts.owners.keys().cloned().collect();
        counts.changed.extend(owners);
    }

    /// Number of unfinished uploads.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.lock().uploads.len()
    }

    /// Bytes that the uploads of `owner` expect, or those of all.
    #[cfg(test)]
    pub fn expected(&self, owner: Option<&Owner>, now: Timestamp) -> u128 {
        let mut counts = self.lock();
        counts.lapse(now);
        match owner {
            Some(owner) => counts.owners.get(owner).map_or(0, |share| share.expected),
            None => counts.expected,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // No code that holds the lock can leave a half-made change behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    fn of(request: &Request<'_>) -> Self {
        Self {
            owner: Arc::new(request.owner.clone()),
            bytes: request.bytes,
            active: request.now,
        }
    }
}

impl Counts {
    fn check(&self, request: &Request<'_>, allowance: &Allowance) -> Result<(), Full> {
        let full = |limit: usize, count: usize| limit > 0 && count >= limit;
        let none = Share::default();
        let share = self.owners.get(request.owner).unwrap_or(&none);
        if full(allowance.sessions, self.uploads.len())
            || full(allowance.sessions_per_owner, share.sessions)
        {
            return Err(Full::Sessions);
        }
        let bytes = u128::from(request.bytes);
        let of_owner = u128::from(allowance.reserved_per_owner);
        if of_owner > 0 && share.expected + bytes > of_owner {
            return Err(Full::Owner);
        }
        let usable = allowance
            .free_space
            .map(|free| u128::from(usable(free, allowance.keep_free)));
        if usable.is_some_and(|usable| bytes > usable.saturating_sub(self.expected)) {
            return Err(Full::Space);
        }
        Ok(())
    }

    fn insert(&mut self, key: UploadKey, mut reserved: Reserved) {
        // One name for all uploads of an owner.
        match self.owners.get_key_value(&reserved.owner) {
            Some((owner, _)) => reserved.owner = Arc::clone(owner),
            None => {
                let owner = Arc::clone(&reserved.owner);
                self.owners.insert(owner, Share::default());
            }
        }
        self.note_change(&reserved.owner);
        let share = self.owners.entry(Arc::clone(&reserved.owner)).or_default();
        share.sessions += 1;
        // Whoever expects nothing needs no place in the queue.
        if reserved.bytes > 0 && self.holding.insert((reserved.active, key)) {
            self.expected += u128::from(reserved.bytes);
            share.expected += u128::from(reserved.bytes);
        }
        self.uploads.insert(key, reserved);
    }

    fn remove(&mut self, key: UploadKey) -> Option<Reserved> {
        let reserved = self.uploads.remove(&key)?;
        self.note_change(&reserved.owner);
        self.let_go(key, reserved.active, reserved.bytes, &reserved.owner);
        if let Some(share) = self.owners.get_mut(&reserved.owner) {
            share.sessions -= 1;
            if share.sessions == 0 {
                self.owners.remove(&reserved.owner);
            }
        }
        Some(reserved)
    }

    /// Lets those go that were active too long ago.
    fn lapse(&mut self, now: Timestamp) {
        while let Some(&(active, key)) = self.holding.first() {
            if now.since(active) < RESERVED_FOR {
                return;
            }
            let upload = self.uploads.get(&key);
            match upload.map(|upload| (upload.bytes, Arc::clone(&upload.owner))) {
                Some((bytes, owner)) => {
                    self.note_change(&owner);
                    self.let_go(key, active, bytes, &owner);
                }
                None => drop(self.holding.pop_first()),
            }
        }
    }

    fn note_change(&mut self, owner: &Owner) {
        if self.is_watched && !self.changed.contains(owner) {
            self.changed.insert(Arc::new(owner.clone()));
        }
    }

    /// Takes back the space of an upload, if it holds any.
    fn let_go(&mut self, key: UploadKey, active: Timestamp, bytes: u64, owner: &Owner) {
        if self.holding.remove(&(active, key)) {
            self.expected -= u128::from(bytes);
            if let Some(share) = self.owners.get_mut(owner) {
                share.expected -= u128::from(bytes);
            }
        }
    }
}
