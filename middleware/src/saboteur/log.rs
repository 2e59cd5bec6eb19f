use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sabotage::{Bug, has};
use crate::store::{BoxFuture, Listed, Log, Opened, Peers, Store, StoreError};
use crate::upload::{Entry, Header, Record, UploadKey};

pub(super) struct Logs(pub(super) Arc<dyn Store>);

impl Store for Logs {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.create(key, header)
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.0.read(key)
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        Box::pin(async move {
            let opened = self.0.open(key).await?;
            Ok(opened.map(|Opened { record, log }| Opened {
                record,
                log: Box::new(OneLog {
                    inner: log,
                    has_ended: AtomicBool::new(false),
                }),
            }))
        })
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.remove(key)
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        self.0.list()
    }

    fn delivering(&self) -> BoxFuture<'_, Result<Vec<UploadKey>, StoreError>> {
        self.0.delivering()
    }

    fn delivered(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.delivered(key)
    }

    fn peers(&self) -> Option<&dyn Peers> {
        self.0.peers()
    }
}

struct OneLog {
    inner: Box<dyn Log>,
    has_ended: AtomicBool,
}

impl Log for OneLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        let ends = |entry: &Entry| matches!(entry, Entry::HandoffEnded { .. });
        let has_ended = entries.iter().any(ends);
        self.has_ended.store(has_ended, Ordering::Relaxed);
        self.inner.append(revision, entries)
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        if has(Bug::EndNotFlushed) && self.has_ended.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Ok(())));
        }
        self.inner.flush()
    }

    fn publish(&self, record: &Record, new: &[Entry]) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.publish(record, new)
    }
}
