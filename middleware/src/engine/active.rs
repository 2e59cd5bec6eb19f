use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OnceCell};

use super::claim::Claims;
use super::{Refusal, table};
use crate::blob::{Blob, Blobs};
use crate::store::{Log, Opened};
use crate::upload::{Entry, Ranges, Record, UploadKey};

/// An upload in use.
pub(super) struct Active {
    pub(super) key: UploadKey,
    inner: Mutex<Inner>,
    /// Told whenever `inner` changed in a way somebody may wait for.
    pub(super) changed: Notify,
    /// Read while a request is planned, written while the chunk size changes: nobody may enter
    /// with a size that is about to be another.
    pub(super) planning: tokio::sync::RwLock<()>,
    /// Held while an entry is checked, added to the log and folded in.
    log: tokio::sync::Mutex<Box<dyn Log>>,
    blob: OnceCell<Arc<dyn Blob>>,
    /// Pieces to read back before a hand-off begins: those an earlier process received, since what
    /// the disk kept of them is to be seen.
    inherited: Mutex<Ranges>,
    /// Set when an entry could not be added: what the log holds is not known then.
    broken: AtomicBool,
    /// Set when the upload was removed.
    gone: AtomicBool,
}

/// What requests of one upload share.
pub(super) struct Inner {
    pub(super) record: Record,
    pub(super) claims: Claims,
    pub(super) used: Instant,
}

impl Active {
    pub(super) fn new(key: UploadKey, opened: Opened) -> Self {
        let inherited = Mutex::new(opened.record.ranges.clone());
        let inner = Inner {
            record: opened.record,
            claims: Claims::default(),
            used: Instant::now(),
        };
        Self {
            key,
            inner: Mutex::new(inner),
            changed: Notify::new(),
            planning: tokio::sync::RwLock::new(()),
            log: tokio::sync::Mutex::new(opened.log),
            blob: OnceCell::new(),
            inherited,
            broken: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// What requests share; held for moments, never across an `await`.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can leave a half-made change behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one entry to the log, then to the record.
    pub(super) async fn append(&self, entry: Entry) -> Result<(), Refusal> {
        let log = self.log.lock().await;
        self.append_locked(log.as_ref(), entry).await
    }

    /// Adds the entry that `decide` makes of the record as it is when no other entry can come
    /// in between; `None` adds nothing.
    pub(super) async fn append_if(
        &self,
        decide: impl FnOnce(&Inner) -> Result<Option<Entry>, Refusal>,
    ) -> Result<(), Refusal> {
        let log = self.log.lock().await;
        let Some(entry) = decide(&self.lock())? else {
            return Ok(());
        };
        self.append_locked(log.as_ref(), entry).await
    }

    async fn append_locked(&self, log: &dyn Log, entry: Entry) -> Result<(), Refusal> {
        if !self.is_usable() {
            return Err(self.refusal());
        }
        let revision = {
            let inner = self.lock();
            inner.record.check(&entry).map_err(|error| {
                tracing::debug!(key = %self.key, %error, "an entry came too late");
                stale(&inner.record)
            })?;
            inner.record.revision
        };
        if let Err(error) = log.append(revision, vec![entry.clone()]).await {
            if !error.is_full() {
                self.broken.store(true, Ordering::Relaxed);
            }
            return Err(table::refusal(self.key, &error));
        }
        // Checked above, and nobody else adds entries meanwhile.
        let applied = self.lock().record.apply(&entry);
        debug_assert_eq!(applied, Ok(()));
        self.changed.notify_waiters();
        Ok(())
    }

    /// The bytes of the upload, opened when they are first needed.
    pub(super) async fn blob(&self, blobs: &dyn Blobs) -> Result<Arc<dyn Blob>, Refusal> {
        let opened = self.blob_io(blobs).await;
        opened.map_err(|error| super::receive::io_refusal(self.key, &error))
    }

    /// The same, for callers to whom the error matters.
    pub(super) async fn blob_io(&self, blobs: &dyn Blobs) -> std::io::Result<Arc<dyn Blob>> {
        self.blob
            .get_or_try_init(|| blobs.open(self.key))
            .await
            .cloned()
    }

    /// The pieces whose bytes have not been read back yet.
    pub(super) fn inherited(&self) -> Ranges {
        self.inherited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes that they have.
    pub(super) fn inherited_is_read(&self) {
        *self
            .inherited
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Ranges::default();
    }

    /// Notes that all pieces are to be read back: one was not what it was.
    pub(super) fn distrust(&self) {
        let all = self.lock().record.ranges.clone();
        *self
            .inherited
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = all;
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.broken.load(Ordering::Relaxed) && !self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn refusal(&self) -> Refusal {
        if self.gone.load(Ordering::Relaxed) {
            Refusal::NoSession
        } else {
            Refusal::Internal
        }
    }

    /// Makes the upload unusable, before its files go.
    pub(super) async fn retire(&self) {
        let _no_entry_meanwhile = self.log.lock().await;
        self.gone.store(true, Ordering::Relaxed);
        self.lock().claims.stop_all();
        self.changed.notify_waiters();
    }
}

/// What a client is told whose entry the record does not allow any more.
fn stale(record: &Record) -> Refusal {
    use crate::upload::State;
    match record.state {
        State::Cancelled => Refusal::Cancelled,
        State::Completed => Refusal::Completed,
        State::Finishing => Refusal::Finishing,
        _ => Refusal::Busy,
    }
}
