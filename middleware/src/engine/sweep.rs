use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::deliver::Deliver;
use super::{Engine, Refusal};
use crate::admission::Request;
use crate::store::Listed;
use crate::upload::{Record, Timestamp, UploadKey};

/// An upload is closed when nobody has asked for it for this long.
const IDLE: Duration = Duration::from_secs(30);

impl Engine {
    /// Removes bytes of which no session is left: those of sessions that lived in the memory of
    /// an earlier process.
    pub async fn remove_orphans(&self) -> io::Result<()> {
        for key in self.blobs.list().await? {
            // A log that cannot be read is not an absent one.
            if let Ok(None) = self.store.read(key).await {
                self.forget_bytes(key).await?;
                tracing::info!(%key, "removed bytes that belong to no upload");
            }
        }
        Ok(())
    }

    /// Counts the uploads an earlier process left behind, and hands over those that wait for it
    /// where `deliver` says to whom. Answers how many wait.
    pub async fn recover(self: &Arc<Self>, deliver: Option<&Arc<dyn Deliver>>) -> usize {
        let mut waiting = 0;
        for upload in self.listed().await {
            // Counted before it is read: whoever ends it meanwhile counts it out.
            self.budget.admit(upload.key, self.clock.now());
            let record = match self.store.read(upload.key).await {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.budget.release(upload.key);
                    continue;
                }
                // It stays counted: it takes room.
                Err(error) => {
                    super::table::refusal(upload.key, &error);
                    continue;
                }
            };
            self.describe(upload.key, &record);
            if !self.is_due(&record) {
                continue;
            }
            waiting += 1;
            if let Some(deliver) = deliver {
                self.want_hand_off(upload.key, deliver);
            }
        }
        waiting
    }

    async fn listed(&self) -> Vec<Listed> {
        self.store.list().await.unwrap_or_else(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot list uploads"
            );
            Vec::new()
        })
    }

    fn describe(&self, key: UploadKey, record: &Record) {
        if record.ended.is_some() {
            self.budget.release(key);
            return;
        }
        let declaration = &record.header.declaration;
        self.budget.describe(&Request {
            key,
            owner: &record.header.owner,
            bytes: declaration.total - record.ranges.bytes(),
            now: record.last_activity,
        });
    }

    /// Closes the files of uploads that nobody uses.
    pub fn close_idle(&self) {
        self.table.close_idle(|active| {
            let inner = active.lock();
            inner.used.elapsed() >= IDLE && inner.claims.is_empty()
        });
    }

    /// Removes what has expired.
    pub async fn sweep(&self) {
        let listed = self.listed().await;
        let now = self.clock.now();
        let uploads = &self.config.uploads;
        let soonest = uploads
            .max_resumable_age
            .min(uploads.result_retention)
            .min(uploads.first_byte_timeout);
        // Nothing expires sooner after its last entry.
        for upload in listed
            .iter()
            .filter(|upload| upload.changed.after(soonest) <= now)
        {
            // A repeated create makes the upload anew when it has expired.
            let _alone = self.creates.lock().await;
            if let Err(refusal) = self.remove_expired(upload.key, now).await {
                tracing::warn!(key = %upload.key, ?refusal, "an expired upload stays behind");
            }
        }
    }

    /// Removes an upload if it has expired by `now` and nobody writes it.
    pub(super) async fn remove_expired(
        &self,
        key: UploadKey,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let is_expired = |record: &Record| self.deadlines().expiry(record) <= now;
        let read = self.store.read(key).await;
        match read.map_err(|error| super::table::refusal(key, &error))? {
            Some(record) if !is_expired(&record) => return Ok(()),
            _ => {}
        }
        // Whoever opens it meanwhile keeps it: only an upload nobody writes is removed.
        if let Ok(active) = self.active(key).await {
            let busy = {
                let inner = active.lock();
                !inner.claims.is_empty()
                    || self.schedule.is_running(key)
                    || !is_expired(&inner.record)
            };
            if busy {
                return Ok(());
            }
            active.retire().await;
        }
        self.budget.release(key);
        let removed = self.forget_bytes(key).await;
        removed.map_err(|error| super::receive::io_refusal(key, &error))?;
        self.store
            .remove(key)
            .await
            .map_err(|error| super::table::refusal(key, &error))?;
        tracing::info!(%key, "upload expired");
        Ok(())
    }
}
