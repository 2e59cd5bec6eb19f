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

    /// Closes the slot unless somebody else uses it; whether it did.
    fn close(&self, key: UploadKey, slot: Slot) -> bool {
        drop(slot);
        self.close_unused(key)
    }

    /// Closes an upload unless somebody uses it; whether it did.
    pub(super) fn close_unused(&self, key: UploadKey) -> bool {
        let mut slots = self.lock();
        let unused = slots.get(&key).is_some_and(is_unused);
        if unused {
            slots.remove(&key);
        }
        unused
    }

    /// The uploads that are open.
    pub(super) fn all(&self) -> Vec<Arc<Active>> {
        let slots = self.lock();
        slots
            .values()
            .filter_map(|slot| slot.get().cloned())
            .collect()
    }

    /// Runs `work` while nobody has the upload open and nobody can open it: whoever wants to waits
    /// for its end, as for another opening. Answers the upload where somebody has it open.
    pub(super) async fn unopened<T>(
        &self,
        key: UploadKey,
        work: impl AsyncFnOnce() -> T,
    ) -> Result<T, Arc<Active>> {
        let slot = self.slot(key);
        let opened = slot.get_or_try_init(|| async { Err(work().await) });
        let result = match opened.await.cloned() {
            Ok(active) => Err(active),
            Err(done) => Ok(done),
        };
        self.close(key, slot);
        result
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
        let mut reopened = false;
        loop {
            if self.latch.is_shut() {
                return Err(Refusal::Unavailable);
            }
            let slot = self.table.slot(key);
            let opened = self.opened(key, &slot).await;
            match opened {
                Ok(active) if active.is_usable() => return Ok(active),
                Ok(active) => {
                    let refusal = active.refusal();
                    drop(active);
                    // What nobody uses any more is opened anew, once.
                    let closed = self.table.close(key, slot);
                    if !closed || std::mem::replace(&mut reopened, true) {
                        return Err(refusal);
                    }
                }
                Err(refusal) => {
                    self.table.close(key, slot);
                    return Err(refusal);
                }
            }
        }
    }

    /// Ends the use of an upload. One that has ended is closed with its last user: nobody is
    /// expected to ask for it again soon.
    pub(super) fn let_go(&self, active: Arc<Active>) {
        let key = active.key;
        let ended = {
            let record = &active.lock().record;
            let ended = record.ended.is_some();
            if ended && active.is_usable() {
                self.note(key, record);
            }
            ended
        };
        drop(active);
        if ended {
            self.table.close_unused(key);
        }
    }

    /// Opens an upload in a task of its own, unless it is open: what an opening adds to the log it
    /// adds before anybody else can open it, and an error of the disk is heard.
    async fn opened(&self, key: UploadKey, slot: &Slot) -> Result<Arc<Active>, Refusal> {
        if let Some(active) = slot.get() {
            return Ok(Arc::clone(active));
        }
        let (Some(engine), slot) = (self.me.upgrade(), Arc::clone(slot)) else {
            return Err(Refusal::Draining);
        };
        let opening = self.tasks.spawn(async move {
            let opened = slot.get_or_try_init(|| engine.open(key)).await.cloned();
            drop(slot);
            opened
        });
        opening.await.unwrap_or(Err(Refusal::Internal))
    }

    async fn open(&self, key: UploadKey) -> Result<Arc<Active>, Refusal> {
        match self.store.open(key).await {
            Ok(Some(opened)) => {
                let active =
                    Active::new(key, opened, Arc::clone(&self.latch), self.witness.clone());
                self.prove(&active).await?;
                self.tell_opened(&active).await?;
                Ok(Arc::new(active))
            }
            Ok(None) => Err(Refusal::NoSession),
            Err(error) => {
                if matches!(error, StoreError::Damaged(_)) {
                    self.note_lost(key);
                    self.untell(key).await;
                }
                Err(self.refusal(key, &error))
            }
        }
    }

    pub(super) fn refusal(&self, key: UploadKey, error: &StoreError) -> Refusal {
        self.latch.refuse_log(key, error)
    }
}
