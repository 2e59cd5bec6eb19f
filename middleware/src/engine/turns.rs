use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::sync::{Mutex, MutexGuard};

use crate::upload::{Owner, UploadKey};

/// Uploads share a turn with some others, and so do owners.
const COUNT: usize = 256;

/// One turn at a time for every upload, or every owner, without a list of them.
pub(super) struct Turns([Mutex<()>; COUNT]);

impl Default for Turns {
    fn default() -> Self {
        Self([const { Mutex::const_new(()) }; COUNT])
    }
}

impl Turns {
    /// Waits for the turn of an upload.
    pub(super) async fn turn(&self, key: UploadKey) -> MutexGuard<'_, ()> {
        self.0[key.lot(COUNT)].lock().await
    }

    /// Waits for the turn of an owner.
    pub(super) async fn turn_of(&self, owner: &Owner) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        self.0[(hasher.finish() % COUNT as u64) as usize]
            .lock()
            .await
    }
}
