use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::active::Active;
use super::{Engine, Refusal};
use crate::store::StoreError;
use crate::upload::UploadKey;

type Slot = Arc<OnceCell<Arc<Active>>>;

/// The uploads in use: each opened once, however many requests ask for it at the same time, and
/// closed again when nobody has used it for a while.
#[derive(Default)]
pub(super) struct Table {
    slots: Mutex<HashMap<UploadKey, Slot>>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, Slot>> {
        // No code that holds the lock can leave a half-made change behind.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, key: UploadKey) -> Slot {
        Arc::clone(self.lock().entry(key).or_default())
    }

    /// The upload, if it is open.
    pub(super) fn peek(&self, key: UploadKey) -> Option<Arc<Active>> {
        self.lock().get(&key)?.get().cloned()
    }

    /// Closes the slot unless somebody else uses it.
    fn close(&self, key: UploadKey, slot: Slot) {
        drop(slot);
        self.close_unused(key);
    }

    /// Closes an upload unless somebody uses it.
    pub(super) fn close_unused(&self, key: UploadKey) {
        let mut slots = self.lock();
        if slots.get(&key).is_some_and(is_unused) {
            slots.remove(&key);
        }
    }

    /// Closes every upload that nobody uses and `is_idle` lets go.
    pub(super) fn close_idle(&self, is_idle: impl Fn(&Active) -> bool) {
        self.lock()
            .retain(|_, slot| !(is_unused(slot) && slot.get().is_none_or(|a| is_idle(a))));
    }
}

/// Whether only the table holds the upload. Whoever wants it asks the table, which is locked.
fn is_unused(slot: &Slot) -> bool {
    Arc::strong_count(slot) == 1
        && slot
            .get()
            .is_none_or(|active| Arc::strong_count(active) == 1)
}

impl Engine {
    /// Opens an upload, or joins those who have it open.
    pub(super) async fn active(&self, key: UploadKey) -> Result<Arc<Active>, Refusal> {
        let slot = self.table.slot(key);
        let opened = slot.get_or_try_init(|| self.open(key)).await.cloned();
        match opened {
            Ok(active) if active.is_usable() => Ok(active),
            Ok(active) => {
                let refusal = active.refusal();
                drop(active);
                self.table.close(key, slot);
                Err(refusal)
            }
            Err(refusal) => {
                self.table.close(key, slot);
                Err(refusal)
            }
        }
    }

    /// Ends the use of an upload. One that has ended is closed with its last user: nobody is
    /// expected to ask for it again soon.
    pub(super) fn let_go(&self, active: Arc<Active>) {
        let (key, ended) = (active.key, active.lock().record.ended.is_some());
        drop(active);
        if ended {
            self.table.close_unused(key);
        }
    }

    async fn open(&self, key: UploadKey) -> Result<Arc<Active>, Refusal> {
        match self.store.open(key).await {
            Ok(Some(opened)) => Ok(Arc::new(Active::new(key, opened))),
            Ok(None) => Err(Refusal::NoSession),
            Err(error) => Err(refusal(key, &error)),
        }
    }
}

/// Logs what went wrong with a log, and says what the client is told.
pub(super) fn refusal(key: UploadKey, error: &StoreError) -> Refusal {
    if error.is_full() {
        tracing::warn!(%key, "no space is left for the log of the upload");
        return Refusal::NoSpace;
    }
    tracing::error!(%key, error = error as &dyn std::error::Error, "the upload cannot go on");
    match error {
        StoreError::Damaged(_) => Refusal::StateLost,
        _ => Refusal::Internal,
    }
}
