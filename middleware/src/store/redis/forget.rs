//! What servers left in Redis that are gone for good.

use std::time::Duration;

use super::Redis;
use super::index::unavailable;
use super::record::Held;
use crate::store::StoreError;
use crate::upload::{Timestamp, UploadKey};

/// How many uploads are looked at in a row.
const LOOK_MAX: isize = 100;
/// What is due and not to be forgotten is looked at again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(3_600);
/// A server is gone for good that has not been there for so long. While it is there it forgets its
/// uploads itself.
const GONE_FOR_GOOD: Duration = Duration::from_secs(24 * 3_600);

impl Redis {
    /// Forgets what expired long ago of servers that have not done so, and their names.
    pub(super) async fn clear(&self, names: &[String]) -> Result<(), StoreError> {
        let now = self.time().await?;
        for key in self.due(now).await? {
            let next = now.after(AGAIN_AFTER);
            match self.held(key).await {
                Ok(None) => self.forget_deadline(key).await?,
                Ok(Some(held)) if self.is_gone(key, &held, now).await? => {
                    self.forget(key, &held).await?;
                }
                // What cannot be read holds up nothing else.
                Ok(Some(_)) | Err(_) => self.put_off(key, next).await?,
            }
        }
        self.clear_names(names).await
    }

    /// Uploads of which it is time to look whether they are to be forgotten.
    async fn due(&self, now: Timestamp) -> Result<Vec<UploadKey>, StoreError> {
        let mut due = redis::pipe();
        let deadlines = self.shared.keys.deadlines();
        due.zrangebyscore_limit(&deadlines, "-inf", now.0, 0, LOOK_MAX);
        let due = self.shared.link.send(&due).await;
        let (due,): (Vec<String>,) = due.map_err(unavailable)?;
        Ok(due.iter().filter_map(|key| key.parse().ok()).collect())
    }

    /// Whether nobody keeps an upload any more.
    async fn is_gone(
        &self,
        key: UploadKey,
        held: &Held,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if held.peer.name == self.name() {
            return Ok(matches!(self.local.read(key).await, Ok(None)));
        }
        let seen = self.last_seen(&held.peer.name).await?;
        Ok(seen.is_none_or(|seen| seen.at.after(GONE_FOR_GOOD) <= now))
    }

    /// Forgets an upload, unless somebody else has told of it meanwhile.
    async fn forget(&self, key: UploadKey, held: &Held) -> Result<(), StoreError> {
        let mut call = self.shared.scripts.forget.prepare_invoke();
        call.key(self.shared.keys.upload(key));
        call.key(self.shared.keys.chunks(key));
        call.arg(held.since.0);
        let done: Result<(String,), _> = self.shared.link.run(&call).await;
        done.map_err(unavailable)?;
        self.forget_deadline(key).await
    }

    pub(super) async fn forget_deadline(&self, key: UploadKey) -> Result<(), StoreError> {
        let mut remove = redis::pipe();
        let deadlines = self.shared.keys.deadlines();
        remove.zrem(deadlines, key.to_string()).ignore();
        self.shared.link.send(&remove).await.map_err(unavailable)
    }

    async fn put_off(&self, key: UploadKey, next: Timestamp) -> Result<(), StoreError> {
        let mut add = redis::pipe();
        let deadlines = self.shared.keys.deadlines();
        add.zadd(deadlines, key.to_string(), next.0).ignore();
        self.shared.link.send(&add).await.map_err(unavailable)
    }

    /// The time by Redis' clock, which is the same for all servers.
    async fn time(&self) -> Result<Timestamp, StoreError> {
        let mut time = redis::pipe();
        time.cmd("TIME");
        let time = self.shared.link.send(&time).await;
        let ((seconds, micros),): ((u64, u64),) = time.map_err(unavailable)?;
        Ok(Timestamp(seconds * 1_000 + micros / 1_000))
    }

    /// Forgets the names of servers that have not been there for long.
    async fn clear_names(&self, names: &[String]) -> Result<(), StoreError> {
        let (link, keys) = (&self.shared.link, &self.shared.keys);
        for name in names {
            let mut look = redis::pipe();
            look.exists(keys.server(name));
            let (is_there,): (bool,) = link.send(&look).await.map_err(unavailable)?;
            if !is_there {
                let mut remove = redis::pipe();
                remove.srem(keys.servers(), name).ignore();
                let () = link.send(&remove).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }
}
