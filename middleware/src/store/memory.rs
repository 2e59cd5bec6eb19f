use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::fence::{Fence, Pass};
use super::{BoxFuture, Listed, Log, Opened, Peers, Store, StoreError};
use crate::upload::{Entry, Header, Record, RecordError, Timestamp, UploadKey};

/// Sessions that end with the process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    uploads: Arc<Mutex<HashMap<UploadKey, Kept>>>,
    fence: Fence,
}

#[derive(Debug)]
struct Kept {
    record: Record,
    changed: Timestamp,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, Kept>> {
        // No code that holds the lock can leave a half-made change behind.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        let result = match self.lock().entry(key) {
            MapEntry::Occupied(_) => Err(StoreError::Exists),
            MapEntry::Vacant(vacant) => {
                let record = Record::new(header);
                vacant.insert(Kept {
                    record,
                    changed: SystemTime::now().into(),
                });
                Ok(())
            }
        };
        Box::pin(std::future::ready(result))
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let record = self.lock().get(&key).map(|kept| kept.record.clone());
        Box::pin(std::future::ready(Ok(record)))
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        let pass = self.fence.enter(key, self.fence.ask());
        let opened = self.lock().get(&key).map(|kept| Opened {
            record: kept.record.clone(),
            log: Box::new(MemoryLog {
                store: self.clone(),
                key,
                pass,
            }),
        });
        Box::pin(std::future::ready(Ok(opened)))
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.fence.shut(key, || self.lock().remove(&key));
        Box::pin(std::future::ready(Ok(())))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        let listed = |(&key, kept): (&UploadKey, &Kept)| Listed {
            key,
            changed: kept.changed,
        };
        let all = self.lock().iter().map(listed).collect();
        Box::pin(std::future::ready(Ok(all)))
    }

    fn delivering(&self) -> BoxFuture<'_, Result<Vec<UploadKey>, StoreError>> {
        let uploads = self.lock();
        let delivering = uploads
            .iter()
            .filter(|(_, kept)| kept.record.state.is_delivering());
        let keys = delivering.map(|(&key, _)| key).collect();
        Box::pin(std::future::ready(Ok(keys)))
    }

    fn delivered(&self, _: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        // The records say who is.
        Box::pin(std::future::ready(Ok(())))
    }

    fn peers(&self) -> Option<&dyn Peers> {
        None
    }
}

struct MemoryLog {
    store: Memory,
    key: UploadKey,
    pass: Pass,
}

impl MemoryLog {
    fn add(&self, revision: u64, entries: &[Entry]) -> Result<(), StoreError> {
        let mut uploads = self.store.lock();
        let kept = uploads.get_mut(&self.key).ok_or(StoreError::Conflict)?;
        if kept.record.revision != revision {
            return Err(StoreError::Conflict);
        }
        let illegal = |error: RecordError| StoreError::Damaged(error.to_string());
        if let [entry] = entries {
            kept.record.apply(entry).map_err(illegal)?;
        } else {
            let mut record = kept.record.clone();
            entries
                .iter()
                .try_for_each(|entry| record.apply(entry))
                .map_err(illegal)?;
            kept.record = record;
        }
        kept.changed = SystemTime::now().into();
        Ok(())
    }
}

impl Log for MemoryLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(
            self.pass.write(|| self.add(revision, &entries)),
        ))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish(&self, _: &Record, _: &[Entry]) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
