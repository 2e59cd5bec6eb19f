use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::active::Active;
use super::steps::Steps;
use super::{Engine, Refusal};
use crate::event::What;
use crate::store::StoreError;
use crate::upload::{Record, Timestamp, UploadKey};

/// An upload is closed when nobody has asked for it for this long.
const IDLE: Duration = Duration::from_secs(30);

/// When something is tried again that the filesystem refused.
const RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// What became of an upload that may have expired.
enum Looked {
    /// It was removed, or has time.
    Settled,
    /// Its log cannot be trusted.
    Damaged,
}

impl Engine {
    /// Closes the files of uploads that nobody uses.
    pub async fn close_idle(&self) {
        let is_idle = |active: &Active| {
            let inner = active.lock();
            inner.used.elapsed() >= IDLE && inner.claims.is_empty()
        };
        for active in self.table.all() {
            if is_idle(&active) {
                active.mark().await;
            }
        }
        self.table.close_idle(is_idle);
    }

    /// Removes what has expired, at an even pace.
    pub async fn sweep(self: &Arc<Self>) {
        if self.latch.is_shut() {
            return;
        }
        self.scan_if_due().await;
        let mut steps = Steps::default();
        for key in self.known.due(self.clock.now()) {
            self.expire(key).await;
            steps.log(0).await;
        }
    }

    /// Removes an upload if it has expired and nobody writes or makes it.
    pub(super) async fn expire(&self, key: UploadKey) {
        let _alone = self.creates.turn(key).await;
        if let Err(refusal) = self.remove_expired(key).await {
            tracing::warn!(%key, ?refusal, "an expired upload stays behind");
            self.look_again(key);
        }
    }

    /// The same for whoever has the turn to make this upload.
    pub(super) async fn remove_expired(&self, key: UploadKey) -> Result<(), Refusal> {
        let looked = self.table.unopened(key, || self.remove_unopened(key)).await;
        match looked {
            Ok(Ok(Looked::Settled)) => Ok(()),
            Ok(Ok(Looked::Damaged)) => {
                // Opening it puts it aside and says so.
                drop(self.active(key).await);
                Ok(())
            }
            Ok(Err(refusal)) => Err(refusal),
            Err(active) => self.remove_opened(&active).await,
        }
    }

    /// Looks at an upload that nobody has open, and nobody can open meanwhile.
    async fn remove_unopened(&self, key: UploadKey) -> Result<Looked, Refusal> {
        let expired = match self.store.read(key).await {
            Ok(Some(record)) => {
                if !self.deadlines().has_expired(&record) {
                    self.note(key, &record);
                    // It may not have been seen before: its log could not be read then.
                    self.offer(key, &record);
                    return Ok(Looked::Settled);
                }
                Some(record)
            }
            Ok(None) => {
                tracing::info!(%key, "removing what a create that was cut short left");
                return self.remove(key).await.map(|()| Looked::Settled);
            }
            Err(StoreError::Lost) if !self.lost_has_expired(key) => return Ok(Looked::Settled),
            Err(StoreError::Lost) => None,
            Err(StoreError::Damaged(_)) => return Ok(Looked::Damaged),
            Err(error) => return Err(self.refusal(key, &error)),
        };
        tracing::info!(%key, "upload expired");
        self.remove(key).await?;
        if let Some(record) = expired {
            self.witness.tell(key, What::Expired, &record);
        }
        Ok(Looked::Settled)
    }

    async fn remove_opened(&self, active: &Active) -> Result<(), Refusal> {
        let deadlines = self.deadlines();
        let retired = active.retire_if(|inner| {
            let idle = inner.claims.is_empty() && !self.schedule.is_running(active.key);
            idle && deadlines.has_expired(&inner.record)
        });
        if !retired.await {
            self.note(active.key, &active.lock().record);
            return Ok(());
        }
        tracing::info!(key = %active.key, "upload expired");
        // As long as it is held here nobody opens it anew.
        self.remove(active.key).await?;
        let record = &active.lock().record;
        self.witness.tell(active.key, What::Expired, record);
        Ok(())
    }

    /// Data first, log last: a crash in between leaves an upload that has expired.
    async fn remove(&self, key: UploadKey) -> Result<(), Refusal> {
        let removed = self.forget_bytes(key).await;
        removed.map_err(|error| super::receive::io_refusal(key, &error))?;
        let removed = self.store.remove(key).await;
        removed.map_err(|error| self.refusal(key, &error))?;
        self.schedule.forget(key);
        self.known.forget(key);
        self.budget.release(key);
        Ok(())
    }

    /// Notes when an upload expires.
    pub(super) fn note(&self, key: UploadKey, record: &Record) {
        let due = self.deadlines().expiry(record);
        self.known.note(key, due, record);
    }

    /// Notes that an upload is lost: it is not waited for any more.
    pub(super) fn note_lost(&self, key: UploadKey) {
        self.budget.release(key);
        let deadlines = self.deadlines();
        let due = deadlines.end(deadlines.now, deadlines.unfinished);
        self.known.lose(key, due);
        self.events().end(key);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn lost_has_expired(&self, key: UploadKey) -> bool {
        let deadlines = self.deadlines();
        let earliest = deadlines.end(Timestamp(0), deadlines.unfinished);
        earliest <= deadlines.now && self.known.is_due(key, deadlines.now)
    }

    /// Leaves an upload alone for a while: the filesystem refused.
    pub(super) fn look_again(&self, key: UploadKey) {
        self.known.put_off(key, self.clock.now().after(RETRY_AFTER));
    }
}
