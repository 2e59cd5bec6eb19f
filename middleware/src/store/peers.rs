use std::time::Duration;

use super::{BoxFuture, StoreError};
use crate::upload::{Owner, Record, Timestamp, UploadKey};

/// What servers that share their sessions tell one another: an index of all uploads, of which each
/// server's own logs are the truth.
///
/// Every error is [`StoreError::Unavailable`], but where another is named.
pub trait Peers: Send + Sync {
    /// Whether the others could be reached a moment ago. While they cannot, no request is begun.
    fn is_reachable(&self) -> bool;

    /// An upload as the other server that keeps it last told, without the checksums of its pieces;
    /// `None` when no other has told of it. `home` is the server whose name its id begins with.
    fn find<'a>(
        &'a self,
        key: UploadKey,
        home: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Told>, StoreError>>;

    /// When the server of this name was last there; `None` where it has not been for long.
    fn seen<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Seen>, StoreError>>;

    /// Tells of an upload of this server's that is not open. What of it is not proven is left out.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when it belongs to another server.
    fn tell(&self, key: UploadKey, record: &Record) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Notes that an upload of this server's is to be told that cannot be now.
    fn tell_later(&self, key: UploadKey);

    /// Asks the server that keeps an upload to give it up, and waits for its answer for a bounded
    /// time; `None` when there was none. The wish stays until it is answered.
    fn ask_to_cancel(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Cancel>, StoreError>>;

    /// Answers [`News::Cancel`].
    fn answer(&self, key: UploadKey, answer: Cancel) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The other server that has made the upload of a repeated create request; `None` where it is
    /// this one, as it is from now on where there was none, or where it was the server `gone`, whose
    /// upload is no more. `name` stands for the request.
    fn maker<'a>(
        &'a self,
        name: UploadKey,
        gone: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>>;

    /// Uses up what may be used once, on all servers together.
    fn spend(&self, once: Once) -> BoxFuture<'_, Result<Spent, StoreError>>;

    /// States what the unfinished uploads of an owner take on this server, with an order: what was
    /// stated later counts. Where `bound` is given and all servers together are above it, nothing
    /// is stated; whether it was.
    fn share(
        &self,
        owner: &Owner,
        share: Share,
        bound: Option<Bound>,
    ) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Tells that there is no such upload here, or none that can be trusted. Where it cannot be told
    /// now it is told later.
    fn untell(&self, key: UploadKey) -> BoxFuture<'_, ()>;

    /// Another number whenever everything that was told is [forgotten](News::Forgotten).
    fn epoch(&self) -> u64;

    /// Takes note that the others were told of every upload of this server's since `epoch`, which
    /// may be over. Before that they do not take what they do not know for something that is not.
    fn all_is_told(&self, epoch: u64);

    /// Waits for news. Nobody else waits at the same time. It is also what keeps this server known
    /// to the others, and finds out when they can be reached again.
    fn news(&self) -> BoxFuture<'_, News>;
}

/// Another server that shares its sessions with this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name: its session ids begin with it.
    pub name: String,
    /// Where clients reach it, if it says so.
    pub url: Option<String>,
}

/// An upload as another server told of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// How it stands.
    pub record: Record,
    /// Who keeps it.
    pub peer: Peer,
    /// When that server began: nothing expires soon after.
    pub since: Timestamp,
}

/// Something that may be used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// What it is known by.
    pub print: [u8; 16],
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// For how long it could be used on this server.
    pub patience: Duration,
}

/// What became of something that may be used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Whether nobody had used it.
    pub is_new: bool,
    /// What was made before is not known any more, in seconds since 1970.
    pub since: u64,
}

/// What is known of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// When it last said that it is there, which it does all the time. In whole seconds.
    pub at: Timestamp,
    /// When it began.
    pub since: Timestamp,
}

/// What became of a wish to give an upload up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It is given up, and its bytes are gone.
    Done,
    /// It is being handed over.
    Finishing,
    /// It was handed over.
    Completed,
    /// There is no such upload.
    Unknown,
    /// The server could not do it.
    Failed,
}

/// What the unfinished uploads of one owner take on one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many they are.
    pub sessions: u64,
    /// Bytes that they still expect.
    pub bytes: u64,
    /// Grows with every change.
    pub version: u64,
}

/// What the uploads of one owner may take on all servers; 0 = any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Uploads.
    pub sessions: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What a server hears.
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "nobody shares"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// All that this server told is gone: it is to be told again.
    Forgotten,
    /// These uploads have changed since they were last told of.
    Behind(Vec<UploadKey>),
    /// Somebody wants an upload of this server's to be given up.
    Cancel(UploadKey),
}
