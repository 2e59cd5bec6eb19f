use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::upload::{FileName, UploadKey};
pub use crate::volume::Queued;

/// A boxed future, as a trait object's method returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that is dropped when a write has stopped touching the bytes, even when whoever
/// asked for the write is long gone.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// A place that keeps the bytes of many uploads.
pub trait Blobs: Send + Sync + 'static {
    /// Opens the bytes of an upload, making room for them when there is none yet. Nothing is
    /// preallocated.
    fn open(&self, key: UploadKey) -> BoxFuture<'_, io::Result<Arc<dyn Blob>>>;

    /// Names every upload that has bytes here, in no order.
    fn list(&self) -> BoxFuture<'_, io::Result<Vec<UploadKey>>>;

    /// Forgets the bytes of an upload; no error when there are none.
    fn remove(&self, key: UploadKey) -> BoxFuture<'_, io::Result<()>>;

    /// Gives the finished bytes of an upload a second name, the client's. Asked again after a
    /// crash, it finds what it did and does not do it twice, until [`Blobs::settle`].
    ///
    /// Answers the name the file got, or `None` when the name was taken and
    /// [`OnConflict::Reject`] asks to leave it, or can never be had.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the bytes are not those of [`Publish::crc`], a
    /// [`FlushFailed`] inside when what was done may be lost: asked again, it would find it done.
    fn publish(
        &self,
        key: UploadKey,
        publish: Publish,
    ) -> BoxFuture<'_, io::Result<Option<FileName>>>;

    /// Forgets our own name of bytes that were published in `dir`, once that is on record.
    fn settle(&self, key: UploadKey, dir: PathBuf) -> BoxFuture<'_, io::Result<()>>;

    /// Lets so many workers make chunks durable at the same time from now on. One worker may take
    /// all that wait, where that is no more work than one of them.
    fn employ(&self, workers: usize);

    /// Bytes of free space, as far as it is known.
    fn free_space(&self) -> BoxFuture<'_, io::Result<Option<u64>>>;
}

/// The bytes of one upload.
pub trait Blob: Send + Sync + 'static {
    /// Writes at `offset` here and now, or answers `None` without writing: the caller then uses
    /// [`Blob::write`].
    fn write_now(&self, offset: u64, bytes: &[u8]) -> Option<io::Result<()>>;

    /// Writes at `offset` when and where that holds up nobody else. `hold` is kept until the write
    /// has stopped, even when the future is dropped before.
    fn write(&self, offset: u64, bytes: Bytes, hold: Hold) -> BoxFuture<'static, io::Result<()>>;

    /// Makes everything written so far durable, once there is a worker: `queued` is dropped when
    /// one has begun.
    ///
    /// # Errors
    /// What was written since the last flush may be lost then, whatever a read shows.
    fn flush(&self, queued: Option<Queued>) -> BoxFuture<'static, io::Result<()>>;

    /// Makes durable what an earlier process wrote, and lets the next reads show what is.
    fn recover(&self) -> BoxFuture<'static, io::Result<()>>;

    /// Offset behind the last byte there is.
    fn len(&self) -> BoxFuture<'static, io::Result<u64>>;

    /// Reads exactly `len` bytes from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are fewer.
    fn read(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>>;
}

/// A flush failed: what it was to keep may be lost, whatever a later one answers.
#[derive(Debug, thiserror::Error)]
#[error("it could not be flushed: {0}")]
pub struct FlushFailed(io::Error);

impl FlushFailed {
    /// Marks the error of a flush, so that it is told apart from errors after which one may try
    /// again.
    pub fn mark(flushed: io::Result<()>) -> io::Result<()> {
        flushed.map_err(|error| io::Error::new(error.kind(), Self(error)))
    }

    /// Whether a flush failed.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Where and how a finished file is published.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The directory.
    pub dir: PathBuf,
    /// The name the client gave.
    pub name: FileName,
    /// What to do when there is such a file.
    pub on_conflict: OnConflict,
    /// CRC-32C of the whole file; a copy is compared with it.
    pub crc: Option<u32>,
    /// Whether the publication is to outlive a loss of power when it is answered.
    pub durable: bool,
}

/// What to do when there is a file of the wanted name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Take the first free one of `name (1)`, `name (2)`, …
    Rename,
    /// Leave the older file and refuse the new one.
    Reject,
    /// Put the new file in its place, at once and whole.
    Overwrite,
}
