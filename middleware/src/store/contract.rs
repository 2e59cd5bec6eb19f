use std::io;
use std::pin::Pin;
use std::sync::Arc;

use super::{Peer, Peers};
use crate::upload::{Entry, Header, Record, Timestamp, UploadKey};
use crate::volume::is_full;

/// A boxed future, as a trait object's method returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps the log of every upload.
pub trait Store: Send + Sync + 'static {
    /// Starts the log of a new upload. An upload is created from one place at a time.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one of that key.
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Reads an upload as it is, which may not be durable; `None` when there is none. Changes
    /// nothing.
    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>>;

    /// Reads an upload and opens its log for appending; `None` when there is none. Where the
    /// upload's entries are to survive a power cut, those answered do. A log that was opened earlier
    /// takes no more entries.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] once, for a log that cannot be trusted: it is put aside then, and
    /// [`StoreError::Lost`] from there on, until the upload is removed or created anew.
    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>>;

    /// Forgets an upload, and what was put aside of it; no error when there is none. Its open logs
    /// take no more entries, even if an upload of that key is created anew.
    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Names every upload, also those whose log was put aside, in no order.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>>;

    /// Names the uploads that were sealed and have not ended, without reading every log. After a
    /// crash some may be missing, and some may have ended.
    fn delivering(&self) -> BoxFuture<'_, Result<Vec<UploadKey>, StoreError>>;

    /// Names an upload there no more.
    fn delivered(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The other servers, where this store shares what it knows with theirs.
    fn peers(&self) -> Option<&dyn Peers>;
}

/// The open log of one upload.
pub trait Log: Send + Sync + 'static {
    /// Adds entries behind revision `revision`, all or none of them.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the log is not at that revision, or was opened again since
    /// (the newest is the only one that may write). [`StoreError::Unavailable`] when an entry needs
    /// the consent of other servers that cannot be asked, [`StoreError::Elsewhere`] when they do not
    /// give it; nothing was added then. After [`StoreError::Unavailable`] and
    /// [`StoreError::is_full`] the log is as it was, and takes the same entries or others at the
    /// same revision. After any other error it takes no more until it is opened anew.
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Makes all entries added so far durable, as far as the store can.
    ///
    /// # Errors
    /// Entries added since the last flush may be lost then; the log takes no more.
    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Tells the other servers, where there are any, how the upload stands. `record` is the fold of
    /// all entries and safe to be told; `new` are the last of them, since this was called before.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when the upload belongs to another server. After
    /// [`StoreError::Unavailable`] it is told later, with [`News::Behind`](super::News::Behind).
    fn publish(&self, record: &Record, new: &[Entry]) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// An upload whose log is open.
pub struct Opened {
    /// The fold of its entries.
    pub record: Record,
    /// Where more are added.
    pub log: Box<dyn Log>,
}

/// An upload as [`Store::list`] names it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Which upload.
    pub key: UploadKey,
    /// When its log last changed: never earlier than its last entry.
    pub changed: Timestamp,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is an upload of that key already.
    #[error("the upload exists already")]
    Exists,
    /// Somebody else has added entries.
    #[error("the upload has changed meanwhile")]
    Conflict,
    /// The log cannot be trusted.
    #[error("the log of the upload is damaged: {0}")]
    Damaged(String),
    /// The log could not be trusted, and was put aside.
    #[error("the log of the upload was put aside")]
    Lost,
    /// The log cannot be opened or read.
    #[error("the log of the upload cannot be opened or read")]
    Io(#[from] io::Error),
    /// The log cannot be written or flushed.
    #[error("the log of the upload cannot be written or flushed")]
    Write(#[source] io::Error),
    /// The upload belongs to another server.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "nobody shares"))]
    #[error("the upload belongs to the server {}", .0.name)]
    Elsewhere(Peer),
    /// What the servers share cannot be reached now; why is in the log. The same may be asked again:
    /// nothing was created or added, and what was done in spite of it is not done twice.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "nobody shares"))]
    #[error("what the servers share cannot be reached")]
    Unavailable,
}

impl StoreError {
    /// Whether space ran out: the log is as it was, and more space mends it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io(error) | Self::Write(error) if is_full(error))
    }
}
