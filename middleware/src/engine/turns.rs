use tokio::sync::{Mutex, MutexGuard};

use crate::upload::UploadKey;

/// Uploads share a turn with some others.
const COUNT: usize = 256;

/// One turn at a time for every upload, without a list of them.
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
}
