use super::Redis;
use super::index::{Update, Verdict, Whole};
use crate::store::{BoxFuture, Log, StoreError};
use crate::upload::{Entry, Record, UploadKey};

/// The log of an upload, and what other servers were told of it.
pub(super) struct SharedLog {
    store: Redis,
    key: UploadKey,
    local: Box<dyn Log>,
}

/// What is to be told.
enum Telling {
    Nothing,
    Added(Update),
    All(Whole),
}

impl SharedLog {
    pub(super) fn new(store: Redis, key: UploadKey, local: Box<dyn Log>) -> Self {
        Self { store, key, local }
    }

    fn telling(&self, record: &Record, new: &[Entry]) -> Telling {
        match self.store.revision_told(self.key) {
            Some(revision) if revision == record.revision => Telling::Nothing,
            Some(_) if new.is_empty() => Telling::All(self.store.whole(record, &[])),
            Some(before) => Telling::Added(Update::new(before, record, new)),
            None => Telling::All(self.store.whole(record, &[])),
        }
    }

    async fn tell(&self, telling: Telling) -> Result<(), StoreError> {
        match telling {
            Telling::Nothing => Ok(()),
            Telling::All(whole) => self.store.register_whole(self.key, &whole).await,
            Telling::Added(update) => match self.store.update(self.key, &update).await? {
                Verdict::Stated => Ok(()),
                Verdict::Unknown => self.store.register_from_log(self.key).await,
                Verdict::Elsewhere(peer) => Err(StoreError::Elsewhere(peer)),
            },
        }
    }

    /// Has the hand-off granted to this server before it begins: no other may hand the upload over,
    /// whose log may be a copy of this one.
    async fn claim(&self) -> Result<(), StoreError> {
        match self.store.claim(self.key).await? {
            Verdict::Stated => Ok(()),
            Verdict::Unknown => self.store.register_from_log(self.key).await,
            Verdict::Elsewhere(peer) => Err(StoreError::Elsewhere(peer)),
        }
    }
}

impl Log for SharedLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        let begins = |entry: &Entry| matches!(entry, Entry::HandoffBegun { .. });
        if !entries.iter().any(begins) {
            return self.local.append(revision, entries);
        }
        Box::pin(async move {
            self.claim().await?;
            self.local.append(revision, entries).await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.local.flush()
    }

    fn publish(&self, record: &Record, new: &[Entry]) -> BoxFuture<'_, Result<(), StoreError>> {
        let now = self.store.telling(record.revision);
        let telling = self.telling(record, new);
        Box::pin(async move {
            let told = self.tell(telling).await;
            self.store.note_told(self.key, now, &told);
            told
        })
    }
}
