use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OnceCell};

use super::Refusal;
use super::claim::Claims;
use super::commit::Commits;
use super::latch::Latch;
use super::witness::Witness;
use crate::blob::{Blob, Blobs, Queued};
use crate::event::Counts;
use crate::store::{Log, Opened, StoreError};
use crate::upload::{Durability, Entry, Ranges, Record, Span, UploadKey};

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
    log: tokio::sync::Mutex<OpenLog>,
    /// Chunks that wait for it.
    pub(super) commits: Commits,
    latch: Arc<Latch>,
    witness: Witness,
    blob: OnceCell<Arc<dyn Blob>>,
    /// Pieces to read back before a hand-off begins: those an earlier process received, since what
    /// the disk kept of them is to be seen.
    inherited: Mutex<Ranges>,
    /// Set when an entry could not be added: what the log holds is not known then.
    broken: AtomicBool,
    /// Set when the upload was removed.
    gone: AtomicBool,
}

struct OpenLog {
    log: Box<dyn Log>,
    /// The revision up to which it is known to be flushed.
    flushed: u64,
    /// Whether the bytes behind all entries are known to be flushed.
    proven: bool,
}

impl OpenLog {
    /// Whether a mark says something that is true and new.
    fn is_mark_due(&self, record: &Record) -> bool {
        self.proven && self.flushed == record.revision && !record.is_proven
    }
}

/// What requests of one upload share.
pub(super) struct Inner {
    pub(super) record: Record,
    pub(super) claims: Claims,
    pub(super) used: Instant,
}

impl Active {
    pub(super) fn new(key: UploadKey, opened: Opened, latch: Arc<Latch>, witness: Witness) -> Self {
        let log = OpenLog {
            flushed: opened.record.revision,
            proven: opened.record.is_proven,
            log: opened.log,
        };
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
            log: tokio::sync::Mutex::new(log),
            commits: Commits::default(),
            latch,
            witness,
            blob: OnceCell::new(),
            inherited,
            broken: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// What is counted of all uploads.
    pub(super) fn counts(&self) -> &Counts {
        self.witness.events.counts()
    }

    /// What requests share; held for moments, never across an `await`.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can leave a half-made change behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one entry to the log, then to the record.
    pub(super) async fn append(&self, entry: Entry) -> Result<(), Refusal> {
        self.append_if(|_| Ok(Some(entry))).await
    }

    /// Adds the entry that `decide` makes of the record as it is when no other entry can come
    /// in between; `None` adds nothing.
    pub(super) async fn append_if(
        &self,
        decide: impl FnOnce(&Inner) -> Result<Option<Entry>, Refusal>,
    ) -> Result<(), Refusal> {
        let mut log = self.log.lock().await;
        let entry = {
            let inner = self.lock();
            let Some(entry) = decide(&inner)? else {
                return Ok(());
            };
            self.check(&inner.record, &entry)?;
            entry
        };
        self.add(&mut log, vec![entry], None).await
    }

    /// Adds entries of bytes that were received, in different ranges; what became of each.
    /// `queued` is dropped when a worker has begun with them.
    pub(super) async fn append_received(
        &self,
        entries: Vec<Entry>,
        queued: Queued,
    ) -> Vec<Result<(), Refusal>> {
        let mut log = self.log.lock().await;
        let checks: Vec<_> = {
            let inner = self.lock();
            let check = |entry| self.check(&inner.record, entry);
            entries.iter().map(check).collect()
        };
        let good = entries.into_iter().zip(&checks);
        let good: Vec<_> = good
            .filter_map(|(entry, check)| check.is_ok().then_some(entry))
            .collect();
        let added = self.add(&mut log, good, Some(queued)).await;
        let both = |check: Result<(), Refusal>| check.and_then(|()| added.clone());
        checks.into_iter().map(both).collect()
    }

    /// Takes note that what an earlier process left was found to be flushed.
    pub(super) async fn proven(&self) {
        self.log.lock().await.proven = true;
        self.mark().await;
    }

    /// Notes that all there is was flushed, so that nobody has to find out again; what cannot be
    /// noted is found out.
    pub(super) async fn mark(&self) {
        let mut log = self.log.lock().await;
        if log.is_mark_due(&self.lock().record) {
            let _ = self.add(&mut log, Vec::new(), None).await;
        }
    }

    fn check(&self, record: &Record, entry: &Entry) -> Result<(), Refusal> {
        if !self.is_usable() {
            return Err(self.refusal());
        }
        record.check(entry).map_err(|error| {
            tracing::debug!(key = %self.key, %error, "an entry came too late");
            stale(record)
        })
    }

    /// Adds entries that were checked: to the log, flushed with their bytes, then to the record.
    async fn add(
        &self,
        log: &mut OpenLog,
        entries: Vec<Entry>,
        queued: Option<Queued>,
    ) -> Result<(), Refusal> {
        let (revision, entries, flushes) = {
            let record = &self.lock().record;
            let power = record.header.durability == Durability::Power;
            let mark = power && log.is_mark_due(record);
            let flushes = power && entries.iter().any(Entry::is_promise);
            let marked = mark.then_some(Entry::Synced).into_iter();
            let entries: Vec<_> = marked.chain(entries).collect();
            (record.revision, entries, flushes)
        };
        if let Err(error) = log.log.append(revision, entries.clone()).await {
            // Otherwise the log is as it was.
            let broken = !error.is_full() && !matches!(error, StoreError::Unavailable);
            return Err(self.broken_by(&error, broken));
        }
        if flushes {
            let began = Instant::now();
            let flushed = self.flush(log, &entries, queued).await;
            self.counts().flushes.observe(began.elapsed());
            flushed.map_err(|error| self.broken_by(&error, true))?;
        }
        // A flush that failed elsewhere may have taken these bytes along.
        if flushes && self.latch.is_shut() {
            self.break_up();
            return Err(Refusal::Unavailable);
        }
        self.apply(log, &entries, flushes);
        self.publish(log, &entries).await
    }

    /// Tells other servers what was added. What they cannot be told now they are told later: here it
    /// is on record.
    async fn publish(&self, log: &OpenLog, new: &[Entry]) -> Result<(), Refusal> {
        if !new.iter().any(Entry::is_promise) {
            return Ok(());
        }
        let told = log.log.publish(&self.lock().record, new);
        match told.await {
            Ok(()) | Err(StoreError::Unavailable) => Ok(()),
            Err(error) => Err(self.broken_by(&error, true)),
        }
    }

    /// Tells other servers how the upload stands, unless they know.
    pub(super) async fn tell(&self) -> Result<(), StoreError> {
        let log = self.log.lock().await;
        let told = log.log.publish(&self.lock().record, &[]);
        told.await
    }

    /// Flushes the log, and the bytes that the entries claim, at the same time: an entry carries
    /// the checksum of its bytes, so one without the other is recognised.
    async fn flush(
        &self,
        log: &OpenLog,
        entries: &[Entry],
        queued: Option<Queued>,
    ) -> Result<(), StoreError> {
        let claims = |entry: &Entry| matches!(entry, Entry::Received { .. });
        match self.blob.get().filter(|_| entries.iter().any(claims)) {
            None => log.log.flush().await,
            Some(blob) => {
                let (bytes, log) = tokio::join!(blob.flush(queued), log.log.flush());
                bytes.map_err(StoreError::Write).and(log)
            }
        }
    }

    fn broken_by(&self, error: &StoreError, broken: bool) -> Refusal {
        if broken {
            self.break_up();
        }
        self.latch.refuse_log(self.key, error)
    }

    /// Makes the upload unusable until it is opened anew, which begins when its last user leaves.
    fn break_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.lock().claims.stop_all();
        self.changed.notify_waiters();
    }

    fn apply(&self, log: &mut OpenLog, entries: &[Entry], flushed: bool) {
        let record = &mut self.lock().record;
        for entry in entries {
            // Checked before, and nobody else adds entries meanwhile.
            let before = record.state;
            let applied = record.apply(entry);
            debug_assert_eq!(applied, Ok(()));
            self.witness.saw(self.key, before, entry, record);
            if let Entry::Withdrawn { start, len, .. } = *entry {
                // What comes in its place is not inherited.
                let inherited = self.inherited.lock();
                let mut inherited = inherited.unwrap_or_else(PoisonError::into_inner);
                inherited.withdraw(Span { start, len });
            }
        }
        let only_marked = matches!(entries, [Entry::Synced]);
        if flushed || only_marked {
            log.flushed = record.revision;
        }
        self.changed.notify_waiters();
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
        } else if self.latch.is_shut() {
            Refusal::Unavailable
        } else {
            // It is opened anew when those who use it now have left.
            Refusal::Busy
        }
    }

    /// Makes the upload unusable, before its files go, if `may_go`; whether it did. Nobody enters
    /// and no entry is added in between.
    pub(super) async fn retire_if(&self, may_go: impl FnOnce(&Inner) -> bool) -> bool {
        let _no_entry_meanwhile = self.log.lock().await;
        {
            let inner = self.lock();
            if !may_go(&inner) {
                return false;
            }
            self.gone.store(true, Ordering::Relaxed);
            inner.claims.stop_all();
        }
        self.changed.notify_waiters();
        true
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
