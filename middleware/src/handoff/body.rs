use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::blob::Blob;
use crate::engine::{Damage, Delivery};
use crate::store::BoxFuture;
use crate::upload::{Algorithm, Crc32c, Hasher, Ranges, Span};

/// Bytes read at once.
const READ_LEN: u64 = 128 * 1024;

type Read = BoxFuture<'static, io::Result<Bytes>>;

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
pub struct Digested(Arc<Mutex<Option<String>>>);

impl Digested {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest, if the whole file was read.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        self.lock().take()
    }
}

/// Reads a file, and gives out nothing that is not what was received: the last bytes of a piece
/// follow when its checksum is right.
struct FileReader {
    blob: Arc<dyn Blob>,
    offset: u64,
    end: u64,
    read: Option<Read>,
    pieces: Ranges,
    /// Of the piece at `offset`, as far as it was read.
    crc: Crc32c,
    damage: Damage,
    hasher: Option<Hasher>,
    digested: Digested,
}

impl HandoffBody {
    /// A body of a file with text around it, and where the file's SHA-256 is found if it is wanted.
    #[must_use]
    pub fn new(before: String, delivery: Delivery, after: String) -> (Self, Digested) {
        let digested = Digested::default();
        let wanted = delivery.wants_sha256;
        let mut file = FileReader {
            blob: delivery.blob,
            offset: 0,
            end: delivery.header.declaration.total,
            read: None,
            pieces: delivery.pieces,
            crc: Crc32c::default(),
            damage: delivery.damage,
            hasher: wanted.then(|| Hasher::new(Algorithm::Sha256)),
            digested: digested.clone(),
        };
        if file.end == 0 {
            file.finish();
        }
        let body = Self {
            before: before.into(),
            after: after.into(),
            file,
            yielded: true,
        };
        (body, digested)
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
        if self.file.damage.is_reported() {
            return Poll::Ready(None);
        }
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
        let len = usize::try_from(READ_LEN.min(self.end - self.offset)).unwrap_or(usize::MAX);
        let read = self
            .read
            .get_or_insert_with(|| self.blob.read(self.offset, len));
        let read = ready!(read.as_mut().poll(cx));
        self.read = None;
        let taken = read.and_then(|bytes| self.take(bytes));
        Poll::Ready(taken.inspect_err(|_| self.damage.report()))
    }

    /// Checks the pieces that end in `bytes`.
    fn take(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (end, crc) = self.piece()?;
            let len = usize::try_from(end - self.offset).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(len.min(rest.len()));
            self.crc.update(now);
            self.offset += now.len() as u64;
            if self.offset == end && std::mem::take(&mut self.crc).finish() != crc {
                return Err(changed());
            }
            rest = later;
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        if self.offset == self.end {
            self.finish();
        }
        Ok(bytes)
    }

    /// Where the piece at `offset` ends, and its checksum.
    fn piece(&self) -> io::Result<(u64, u32)> {
        let here = Span {
            start: self.offset,
            len: 1,
        };
        let span = self.pieces.overlapping(here).ok_or_else(changed)?;
        let piece = self.pieces.piece(span).ok_or_else(changed)?;
        Ok((span.end(), piece.crc))
    }

    fn finish(&mut self) {
        if let Some(hasher) = self.hasher.take() {
            *self.digested.lock() = Some(hasher.finish().to_hex());
        }
    }
}

fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the bytes are not what was received",
    )
}

impl std::fmt::Debug for HandoffBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandoffBody")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
