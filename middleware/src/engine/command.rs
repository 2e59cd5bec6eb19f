use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::View;
use crate::admission::Origin;
use crate::config::UploadConfig;
use crate::store::Peer;
use crate::upload::{Declaration, Digest, Owner, SessionId, Target};

/// Asks for a new upload.
#[derive(Debug)]
pub struct Create {
    /// The id it gets.
    pub id: SessionId,
    /// Whether a repeated request with this id means the same upload.
    pub idempotent: bool,
    /// What it is to become.
    pub declaration: Declaration,
    /// Whose it is.
    pub owner: Owner,
    /// The id of the key that signed the request, if it is signed.
    pub signer: Option<String>,
    /// The configuration by which its request was understood.
    pub config: Arc<UploadConfig>,
}

/// A new upload, or the one an earlier request with the same id made.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: SessionId,
    /// How it stands.
    pub view: View,
}

/// Adds bytes to an upload.
#[derive(Debug)]
pub struct Append {
    /// To which one.
    pub id: SessionId,
    /// Where.
    pub target: Target,
    /// Digests of these bytes (RFC 9530 `Content-Digest`).
    pub digests: Vec<Digest>,
    /// Where they come from.
    pub origin: Origin,
}

/// The bytes are safe.
#[derive(Debug)]
pub struct Appended {
    /// Whether they were held already.
    pub duplicate: bool,
    /// How the upload stands.
    pub view: View,
}

/// Where the bytes of a request come from.
pub trait Source: Send {
    /// The next bytes, or `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>>;

    /// Whether the client has closed its side, as far as that can be known while nobody reads:
    /// nothing comes then but what is here already. Only then is it ready.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Why the bytes of a request ended before its body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The client went away, or broke the framing.
    #[error("the request body ended early")]
    Broken,
    /// They came too slowly.
    #[error("the request body came too slowly")]
    TooSlow,
    /// A pause took too long to wait for them.
    #[error("uploads wait")]
    Paused,
}

/// Why a verb did nothing. Causes that are no business of the client's are in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Unknown or expired.
    NoSession,
    /// The client gave the upload up.
    Cancelled,
    /// The upload is being handed over.
    Finishing,
    /// The upload is done.
    Completed,
    /// There is no such chunk.
    ChunkRange { total_chunks: u64 },
    /// The chunk has another length.
    ChunkLength { expected: u64 },
    /// The bytes are not what the request's digest says.
    DigestMismatch,
    /// Other bytes than those held.
    ChunkConflict,
    /// A newer request for these bytes took over.
    Superseded,
    /// What the server knew about the upload cannot be trusted any more.
    StateLost,
    /// The file is larger than allowed.
    TooLarge { bytes_max: u64 },
    /// Too many unfinished uploads.
    TooManySessions,
    /// Too little free space.
    NoSpace,
    /// The id is in use for another declaration.
    IdempotencyMismatch,
    /// The request's body broke off.
    BodyIncomplete,
    /// The request's body came too slowly.
    TooSlow,
    /// Uploads wait for the network, until it has been quiet for so long.
    Paused { settle: Duration },
    /// Another request for the same bytes did not end in time.
    Busy,
    /// There are as many streams of events as may be, of this upload or of all.
    TooManyStreams { of_upload: bool },
    /// The chunks of too many uploads wait to be made durable.
    Crowded,
    /// This client has sent as many requests as it may, and is to send none for so long.
    RateLimited { wait: Duration },
    /// The server is shutting down.
    Draining,
    /// The disk failed, and nothing can be promised any more.
    Unavailable,
    /// What the servers share cannot be reached.
    Unreachable,
    /// The upload belongs to another server.
    Elsewhere(Peer),
    /// The upload belongs to another server, which does not answer.
    NoAnswer(Peer),
    /// A failure of ours.
    Internal,
}
