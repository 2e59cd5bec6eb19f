use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::blob::Blob;
use crate::store::BoxFuture;
use crate::upload::{Algorithm, Hasher};

/// Bytes read at once.
const READ_LEN: u64 = 128 * 1024;

type Read = BoxFuture<'static, io::Result<Piece>>;

/// The body of a hand-off: what stands before the file, the file, what stands after it.
///
/// A multipart parser takes everything that is ready before it gives anything out, so a body
/// that is always ready would be held in memory whole. This one waits once before every frame
/// of the file but the first of the body.
pub struct HandoffBody {
    before: Bytes,
    after: Bytes,
    file: FileReader,
    yielded: bool,
}

/// Where a [`HandoffBody`] leaves the SHA-256 of the file, in hex, once it was read to its end.
#[derive(Clone, Debug, Default)]
pub struct Digested {
    sha256: Arc<Mutex<Option<String>>>,
    broken: Arc<AtomicBool>,
}

impl Digested {
    /// The digest, if the whole file was read.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        self.sha256
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Whether the file could not be read: whatever the handler said then, it was not about the file.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn put(&self, digest: String) {
        *self.sha256.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
    }
}

struct FileReader {
    blob: Arc<dyn Blob>,
    offset: u64,
    end: u64,
    read: Option<Read>,
    hasher: Option<Hasher>,
    digested: Digested,
}

struct Piece {
    bytes: Bytes,
    hasher: Option<Hasher>,
}

impl HandoffBody {
    /// A body of `len` bytes of `blob` with text around it. SHA-256 of the file goes to
    /// `digested` where it is given.
    #[must_use]
    pub fn new(
        before: String,
        blob: Arc<dyn Blob>,
        len: u64,
        after: String,
        digested: Option<Digested>,
    ) -> Self {
        let file = FileReader {
            blob,
            offset: 0,
            end: len,
            read: None,
            hasher: digested.is_some().then(|| Hasher::new(Algorithm::Sha256)),
            digested: digested.unwrap_or_default(),
        };
        Self {
            before: before.into(),
            after: after.into(),
            file,
            yielded: true,
        }
    }

    /// Says to `digested` when the file cannot be read, also where no digest is wanted.
    pub(super) fn report_to(&mut self, digested: Digested) {
        self.file.digested = digested;
    }

    /// Bytes still to come.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.before.len() as u64 + (self.file.end - self.file.offset) + self.after.len() as u64
    }

    /// Whether nothing is to come any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Body for HandoffBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.before.is_empty() {
            return frame(std::mem::take(&mut self.before));
        }
        if !std::mem::replace(&mut self.yielded, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.file.offset < self.file.end {
            let bytes = ready!(self.file.poll_read(cx))?;
            self.yielded = false;
            return frame(bytes);
        }
        self.file.finish();
        if self.after.is_empty() {
            return Poll::Ready(None);
        }
        frame(std::mem::take(&mut self.after))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

fn frame(bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
    Poll::Ready(Some(Ok(Frame::data(bytes))))
}

impl FileReader {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut read = match self.read.take() {
            Some(read) => read,
            None => self.start(self.offset),
        };
        let Poll::Ready(piece) = read.as_mut().poll(cx) else {
            self.read = Some(read);
            return Poll::Pending;
        };
        let piece = piece.inspect_err(|_| self.digested.broken.store(true, Ordering::Release))?;
        self.offset += piece.bytes.len() as u64;
        self.hasher = piece.hasher;
        if self.offset == self.end {
            self.finish();
        }
        Poll::Ready(Ok(piece.bytes))
    }

    fn start(&mut self, offset: u64) -> Read {
        let len = usize::try_from(READ_LEN.min(self.end - offset)).unwrap_or(usize::MAX);
        let hasher = self.hasher.take();
        let read = self.blob.read(offset, len);
        Box::pin(async move {
            let bytes = read.await?;
            hash(bytes, hasher).await
        })
    }

    fn finish(&mut self) {
        if let Some(hasher) = self.hasher.take() {
            self.digested.put(hasher.finish().to_hex());
        }
    }
}

async fn hash(bytes: Bytes, hasher: Option<Hasher>) -> io::Result<Piece> {
    let hasher = hasher.map(|mut hasher| {
        hasher.update(&bytes);
        hasher
    });
    Ok(Piece { bytes, hasher })
}

impl std::fmt::Debug for HandoffBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandoffBody")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
