//! Which protocol a client speaks.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;

use tokio::io::{AsyncRead, ReadBuf};

/// What every HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection: enough of them to tell HTTP/2 from HTTP/1.
#[derive(Debug, Default)]
pub(super) struct Opening {
    bytes: [u8; PREFACE.len()],
    len: usize,
    read: usize,
}

impl Opening {
    /// Reads until the protocol is known. It is HTTP/1 with no byte at all if the client closed.
    ///
    /// # Errors
    ///
    /// What the stream reports.
    pub(super) async fn receive<T: AsyncRead + Unpin>(stream: &mut T) -> io::Result<Self> {
        let mut opening = Self::default();
        while opening.is_undecided() {
            let count = poll_fn(|cx| {
                let mut buf = ReadBuf::new(&mut opening.bytes[opening.len..]);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
                io::Result::Ok(buf.filled().len()).into()
            })
            .await?;
            if count == 0 {
                break;
            }
            opening.len += count;
        }
        Ok(opening)
    }

    fn is_undecided(&self) -> bool {
        self.len < PREFACE.len() && PREFACE.starts_with(&self.bytes[..self.len])
    }

    /// Whether the client speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.bytes == *PREFACE
    }

    /// Whether there is nothing to read (any more).
    pub(super) fn is_empty(&self) -> bool {
        self.read == self.len
    }

    /// Moves as much into `buf` as fits.
    pub(super) fn read(&mut self, buf: &mut ReadBuf<'_>) {
        let count = buf.remaining().min(self.len - self.read);
        buf.put_slice(&self.bytes[self.read..self.read + count]);
        self.read += count;
    }
}
