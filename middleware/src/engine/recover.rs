//! What an earlier process left: found, counted, handed over or cleared away, in the background and
//! at an even pace.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::deliver::Deliver;
use super::known::Stage;
use super::steps::Steps;
use super::{Engine, Refusal};
use crate::admission::Request;
use crate::store::{Listed, Peers, StoreError};
use crate::upload::{Record, Timestamp, UploadKey};

/// The directory is read again this often: somebody else may have put something there.
const SCAN_EVERY: Duration = Duration::from_secs(3_600);
/// The wait before the logs are listed again that could not be.
const LIST_AGAIN: Duration = Duration::from_secs(5);

/// When all logs were last read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned {
    at: Timestamp,
    since: Timestamp,
}

impl Engine {
    /// Hands over the uploads an earlier process left in the middle of that, where `deliver` says
    /// to whom; then counts all that it left, and hands over those that were not on its list.
    /// Answers how many wait.
    pub async fn recover(self: &Arc<Self>, deliver: Option<&Arc<dyn Deliver>>) -> usize {
        if let Some(deliver) = deliver {
            // The app knows the engine: they must not keep one another.
            let _ = self.background.set(Arc::downgrade(deliver));
        }
        let epoch = self.store.peers().map(Peers::epoch);
        let mut waiting = 0;
        let mut steps = Steps::default();
        for key in self.delivering().await {
            // What cannot be read now keeps its mark.
            let Ok(record) = self.discover(key, self.clock.now()).await else {
                continue;
            };
            steps.log(record.as_ref().map_or(0, |r| r.revision)).await;
            // The mark comes before the entry: an upload may be marked and not be sealed.
            let wanted = |record: &Record| self.is_due(record) || record.state.is_delivering();
            match record.filter(wanted) {
                Some(record) => waiting += self.offer(key, &record),
                None => self.forget_delivering(key).await,
            }
        }
        let scanned = match self.store.peers() {
            Some(_) => self.list_all().await,
            None => self.list().await,
        };
        let is_complete = scanned.is_some();
        waiting += self.scan(scanned.unwrap_or_default()).await;
        // What was known before was not told now.
        if let (Some(peers), Some(epoch)) = (self.store.peers(), epoch)
            && is_complete
            && !self.recovered.swap(true, Ordering::AcqRel)
        {
            peers.all_is_told(epoch);
            // What owners take is counted now.
            self.budget.note_changes();
        }
        waiting
    }

    /// Reads all logs again, where it is time for that: the ages of uploads are counted anew when
    /// the clock was set.
    pub(super) async fn scan_if_due(self: &Arc<Self>) {
        let clock = self.clock.read();
        let scanned = *self.scanned();
        match scanned {
            Some(scanned) if scanned.since != clock.since => self.known.forget_all(),
            Some(scanned) if clock.steady.since(scanned.at) < SCAN_EVERY => return,
            _ => {}
        }
        let listed = self.list().await;
        self.scan(listed.unwrap_or_default()).await;
    }

    /// Lists the logs; nothing where that fails, which is told.
    async fn list(&self) -> Option<Vec<Listed>> {
        let listed = self.store.list().await;
        listed.inspect_err(warn_unlisted).ok()
    }

    /// The same until it works: nothing may be said to be all there is before it is. Nothing where
    /// the disk has failed.
    pub(super) async fn list_all(&self) -> Option<Vec<Listed>> {
        while !self.latch.is_shut() {
            if let Some(listed) = self.list().await {
                return Some(listed);
            }
            tokio::time::sleep(LIST_AGAIN).await;
        }
        None
    }

    /// Reads the logs of which nothing is known yet. Answers how many uploads wait to be handed
    /// over.
    async fn scan(self: &Arc<Self>, listed: Vec<Listed>) -> usize {
        let clock = self.clock.read();
        *self.scanned() = Some(Scanned {
            at: clock.steady,
            since: clock.since,
        });
        let mut waiting = 0;
        let mut steps = Steps::default();
        for Listed { key, changed } in listed {
            if self.known.stage(key).is_some() {
                continue;
            }
            let record = self.discover(key, changed).await.unwrap_or(None);
            steps.log(record.as_ref().map_or(0, |r| r.revision)).await;
            if let Some(record) = record {
                waiting += self.offer(key, &record);
            }
        }
        waiting
    }

    fn scanned(&self) -> std::sync::MutexGuard<'_, Option<Scanned>> {
        // No code that holds the lock can leave a half-made change behind.
        let scanned = self.scanned.lock();
        scanned.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads an upload that was found, and counts it.
    ///
    /// # Errors
    /// It cannot be read now, which is told and tried again.
    async fn discover(
        self: &Arc<Self>,
        key: UploadKey,
        changed: Timestamp,
    ) -> Result<Option<Record>, Refusal> {
        // Counted before it is read: whoever ends it meanwhile counts it out.
        self.budget.admit(key, self.clock.read().steady);
        match self.store.read(key).await {
            Ok(Some(record)) => {
                let due = self.deadlines().expiry(&record);
                self.known.discover(key, due, &record);
                self.describe(key, &record);
                if let Some(peers) = self.store.peers() {
                    self.tell_of(peers, key, &record).await;
                }
                return Ok(Some(record));
            }
            // A create that was cut short, or an upload that was removed meanwhile.
            Ok(None) => self.expire(key).await,
            Err(StoreError::Lost) => {
                self.budget.release(key);
                let kept = self.config.now().uploads.max_resumable_age;
                let due = self.deadlines().end(changed, kept);
                self.known.discover_lost(key, due);
                self.untell(key).await;
            }
            // Opening it puts it aside and says so.
            Err(StoreError::Damaged(_)) => drop(self.active(key).await),
            // It stays counted: it takes room.
            Err(error) => {
                let refusal = self.refusal(key, &error);
                self.look_again(key);
                if let Some(peers) = self.store.peers() {
                    peers.tell_later(key);
                }
                return Err(refusal);
            }
        }
        Ok(None)
    }

    pub(super) fn describe(&self, key: UploadKey, record: &Record) {
        // An earlier process may have told of it last when it was not.
        self.budget.note_change(&record.header.owner);
        if record.ended.is_some() {
            self.budget.release(key);
            return;
        }
        let clock = self.clock.read();
        let idle = clock.now.since(record.last_activity);
        let declaration = &record.header.declaration;
        self.budget.describe(&Request {
            key,
            owner: &record.header.owner,
            bytes: declaration.total - record.ranges.bytes(),
            now: clock.steady.before(idle),
        });
    }

    /// Starts the hand-off of an upload that waits for it; how many that were.
    pub(super) fn offer(&self, key: UploadKey, record: &Record) -> usize {
        let is_due = self.is_due(record);
        if is_due {
            self.offer_due(key);
        }
        usize::from(is_due)
    }

    /// The same for one that does.
    pub(super) fn offer_due(&self, key: UploadKey) {
        let deliver = self.background.get().and_then(Weak::upgrade);
        if let (Some(engine), Some(deliver)) = (self.me.upgrade(), deliver)
            && !self.schedule.knows(key)
        {
            engine.want_hand_off(key, &deliver, false);
        }
    }

    async fn delivering(&self) -> Vec<UploadKey> {
        let keys = self.store.delivering().await;
        keys.inspect_err(warn_unlisted).unwrap_or_default()
    }

    async fn forget_delivering(&self, key: UploadKey) {
        if let Err(error) = self.store.delivered(key).await {
            tracing::debug!(%key, %error, "the mark of an upload stays behind");
        }
    }

    /// Removes bytes that no upload wants any more: of sessions that lived in the memory of an
    /// earlier process, of creates that a power cut undid, and of uploads that ended just before
    /// their process did. Reads nothing of the uploads that [`Engine::recover`] found alive.
    ///
    /// # Errors
    /// What bytes there are cannot be told.
    pub async fn remove_orphans(&self) -> io::Result<()> {
        let mut steps = Steps::default();
        for key in self.blobs.list().await? {
            if matches!(self.known.stage(key), None | Some(Stage::Ended(_))) {
                // Nobody opens it meanwhile, and so nobody adds bytes.
                let _ = self.table.unopened(key, || self.remove_orphan(key)).await;
                steps.log(0).await;
            }
        }
        Ok(())
    }

    async fn remove_orphan(&self, key: UploadKey) {
        let wanted = match self.store.read(key).await {
            Ok(None) => false,
            Ok(Some(record)) => !matches!(Stage::of(&record), Stage::Ended(_)),
            // A log that cannot be read is not an absent one.
            Err(_) => true,
        };
        if wanted {
            return;
        }
        match self.forget_bytes(key).await {
            Ok(()) => tracing::info!(%key, "removed bytes that belong to no upload"),
            Err(error) => tracing::warn!(%key, %error, "bytes that belong to no upload stay"),
        }
    }
}

fn warn_unlisted(error: &StoreError) {
    let error: &dyn std::error::Error = error;
    tracing::error!(error, "cannot list uploads");
}
