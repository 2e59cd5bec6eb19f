//! Stores and files that hesitate or fail when a test wants it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;

use crate::blob::{Blob, Blobs, FlushFailed, Hold, Publish, Queued};
use crate::store::{BoxFuture, Listed, Log, Opened, Peers, Store, StoreError};
use crate::upload::{Entry, FileName, Header, Record, UploadKey};

/// A point that operations pass, unless it is shut.
#[derive(Debug)]
pub(super) struct Gate {
    /// Whether those who come now pass.
    open: AtomicBool,
    /// Whether those who wait may go.
    released: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        let (released, waiting) = (watch::Sender::new(true), watch::Sender::new(0));
        Self {
            open: AtomicBool::new(true),
            released,
            waiting,
        }
    }
}

impl Gate {
    pub(super) fn shut(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.released.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.released.send_replace(true);
    }

    /// Lets those pass who come from now on, and none of those who wait.
    pub(super) fn open_for_others(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until `count` operations wait here.
    pub(super) async fn holds(&self, count: usize) {
        self.waiting
            .subscribe()
            .wait_for(|&waiting| waiting >= count)
            .await
            .unwrap();
    }

    async fn pass(&self) {
        if self.is_open() {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.released
            .subscribe()
            .wait_for(|&released| released)
            .await
            .unwrap();
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// Where operations hesitate and fail.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) log_append: Gate,
    pub(super) log_flush: Gate,
    pub(super) free_space: Gate,
    pub(super) store_list: Gate,
    /// Behind the reading.
    pub(super) store_read: Gate,
    pub(super) blob_open: Gate,
    pub(super) blob_write: Gate,
    /// Before a worker begins.
    pub(super) blob_queue: Gate,
    /// Behind the removal.
    pub(super) blob_remove: Gate,
    errors: Mutex<VecDeque<(Point, io::Error)>>,
    /// How many more operations at a point succeed.
    skips: Mutex<Vec<(Point, usize)>>,
    passed: Mutex<Vec<Point>>,
    /// Whether publications were asked to be durable.
    pub(super) durable: Mutex<Vec<bool>>,
}

/// An operation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    LogAppend,
    LogFlush,
    BlobFlush,
    StoreCreate,
    StoreRead,
    BlobWrite,
    BlobRead,
    BlobRemove,
    Publish,
    PublishFlush,
}

impl Faults {
    /// Calls off what is to fail at `point`.
    pub(super) fn take(&self, point: Point) -> Vec<ErrorKind> {
        let mut errors = self.errors.lock().unwrap();
        let all = std::mem::take(&mut *errors).into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = all.partition(|(at, _)| *at == point);
        *errors = left.into();
        taken.into_iter().map(|(_, error)| error.kind()).collect()
    }

    /// Whether an operation at `point` is still to fail.
    pub(super) fn is_armed(&self, point: Point) -> bool {
        self.errors
            .lock()
            .unwrap()
            .iter()
            .any(|(at, _)| *at == point)
    }

    /// The next operation at `point` fails.
    pub(super) fn fail(&self, point: Point, kind: ErrorKind) {
        self.errors.lock().unwrap().push_back((point, kind.into()));
    }

    /// The same with an error of the system.
    pub(super) fn fail_os(&self, point: Point, code: i32) {
        let error = io::Error::from_raw_os_error(code);
        self.errors.lock().unwrap().push_back((point, error));
    }

    /// The operation at `point` after `skip` that succeed fails.
    pub(super) fn fail_after(&self, point: Point, skip: usize, kind: ErrorKind) {
        self.skips.lock().unwrap().push((point, skip));
        self.fail(point, kind);
    }

    /// How often operations have come to `point`.
    pub(super) fn count(&self, point: Point) -> usize {
        let passed = self.passed.lock().unwrap();
        passed.iter().filter(|&&passed| passed == point).count()
    }

    fn check(&self, point: Point) -> io::Result<()> {
        self.passed.lock().unwrap().push(point);
        let mut skips = self.skips.lock().unwrap();
        let skip = skips
            .iter_mut()
            .find(|(at, left)| *at == point && *left > 0);
        if let Some((_, left)) = skip {
            *left -= 1;
            return Ok(());
        }
        let mut errors = self.errors.lock().unwrap();
        match errors.iter().position(|(at, _)| *at == point) {
            Some(position) => Err(errors.remove(position).unwrap().1),
            None => Ok(()),
        }
    }
}

/// A store with faults.
pub(super) struct FaultyStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) faults: Arc<Faults>,
    /// Other servers, where there are any.
    pub(super) peers: Option<Arc<dyn Peers>>,
}

impl Store for FaultyStore {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.faults.check(Point::StoreCreate)?;
            self.inner.create(key, header).await
        })
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            self.faults.check(Point::StoreRead)?;
            let read = self.inner.read(key).await;
            self.faults.store_read.pass().await;
            read
        })
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        Box::pin(async move {
            let opened = self.inner.open(key).await?;
            Ok(opened.map(|Opened { record, log }| {
                let log = FaultyLog {
                    inner: log,
                    faults: Arc::clone(&self.faults),
                };
                Opened {
                    record,
                    log: Box::new(log),
                }
            }))
        })
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.remove(key)
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        Box::pin(async move {
            self.faults.store_list.pass().await;
            self.inner.list().await
        })
    }

    fn delivering(&self) -> BoxFuture<'_, Result<Vec<UploadKey>, StoreError>> {
        self.inner.delivering()
    }

    fn delivered(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.delivered(key)
    }

    fn peers(&self) -> Option<&dyn Peers> {
        self.peers.as_deref()
    }
}

struct FaultyLog {
    inner: Box<dyn Log>,
    faults: Arc<Faults>,
}

impl Log for FaultyLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.faults.log_append.pass().await;
            let failed = self.faults.check(Point::LogAppend);
            failed.map_err(StoreError::Write)?;
            self.inner.append(revision, entries).await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.faults.log_flush.pass().await;
            let failed = self.faults.check(Point::LogFlush);
            failed.map_err(StoreError::Write)?;
            self.inner.flush().await
        })
    }

    fn publish(&self, record: &Record, new: &[Entry]) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.publish(record, new)
    }
}

/// Files with faults.
pub(super) struct FaultyBlobs {
    pub(super) inner: Arc<dyn Blobs>,
    pub(super) faults: Arc<Faults>,
}

impl Blobs for FaultyBlobs {
    fn open(&self, key: UploadKey) -> BoxFuture<'_, io::Result<Arc<dyn Blob>>> {
        Box::pin(async move {
            self.faults.blob_open.pass().await;
            let inner = self.inner.open(key).await?;
            let blob = FaultyBlob {
                inner,
                faults: Arc::clone(&self.faults),
            };
            Ok(Arc::new(blob) as Arc<dyn Blob>)
        })
    }

    fn list(&self) -> BoxFuture<'_, io::Result<Vec<UploadKey>>> {
        self.inner.list()
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.faults.check(Point::BlobRemove)?;
            let removed = self.inner.remove(key).await;
            self.faults.blob_remove.pass().await;
            removed
        })
    }

    fn publish(
        &self,
        key: UploadKey,
        publish: Publish,
    ) -> BoxFuture<'_, io::Result<Option<FileName>>> {
        Box::pin(async move {
            self.faults.check(Point::Publish)?;
            self.faults.durable.lock().unwrap().push(publish.durable);
            FlushFailed::mark(self.faults.check(Point::PublishFlush))?;
            self.inner.publish(key, publish).await
        })
    }

    fn settle(&self, key: UploadKey, dir: PathBuf) -> BoxFuture<'_, io::Result<()>> {
        self.inner.settle(key, dir)
    }

    fn employ(&self, workers: usize) {
        self.inner.employ(workers);
    }

    fn free_space(&self) -> BoxFuture<'_, io::Result<Option<u64>>> {
        Box::pin(async move {
            self.faults.free_space.pass().await;
            self.inner.free_space().await
        })
    }
}

struct FaultyBlob {
    inner: Arc<dyn Blob>,
    faults: Arc<Faults>,
}

impl Blob for FaultyBlob {
    fn write_now(&self, offset: u64, bytes: &[u8]) -> Option<io::Result<()>> {
        if !self.faults.blob_write.is_open() {
            return None;
        }
        if let Err(error) = self.faults.check(Point::BlobWrite) {
            return Some(Err(error));
        }
        self.inner.write_now(offset, bytes)
    }

    /// As on a blocking thread: it goes on when nobody waits for it any more.
    fn write(&self, offset: u64, bytes: Bytes, hold: Hold) -> BoxFuture<'static, io::Result<()>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        Box::pin(async move {
            let write = async move {
                faults.blob_write.pass().await;
                faults.check(Point::BlobWrite)?;
                inner.write(offset, bytes, hold).await
            };
            tokio::spawn(write).await.unwrap()
        })
    }

    fn flush(&self, queued: Option<Queued>) -> BoxFuture<'static, io::Result<()>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        Box::pin(async move {
            faults.blob_queue.pass().await;
            faults.check(Point::BlobFlush)?;
            inner.flush(queued).await
        })
    }

    fn recover(&self) -> BoxFuture<'static, io::Result<()>> {
        self.inner.recover()
    }

    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        self.inner.len()
    }

    fn read(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        if let Err(error) = self.faults.check(Point::BlobRead) {
            return Box::pin(std::future::ready(Err(error)));
        }
        self.inner.read(offset, len)
    }
}
