//! How a connection ends.
//!
//! Closing a socket with unread bytes makes the kernel send a reset, and a reset destroys what the
//! client has not yet read: the answer that told it to stop. So our side is shut down first, and what
//! the client still sends is thrown away until it closes too (RFC 9112, section 9.6).

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client may send after its answer before we stop listening.
const BYTES_MAX: u64 = 64 << 20;

/// Lives on the stack of the read, so that a lingering connection keeps no buffer.
const READ_SIZE: usize = 16 << 10;

/// Writes `answer`, shuts our side down and discards what arrives until the client closes or has
/// sent too much. The caller bounds the time.
///
/// # Errors
///
/// What the stream reports; the connection is then over all the same.
pub(super) async fn part<T>(stream: &mut T, mut answer: &[u8]) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    while !answer.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, answer)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => answer = &answer[count..],
        }
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await?;
    let mut left = BYTES_MAX;
    while left > 0 {
        match poll_fn(|cx| poll_discard(stream, cx)).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// Shuts our side down where nothing is under way, which TLS tells the client, without waiting.
pub(super) async fn leave<T: AsyncWrite + Unpin>(stream: &mut T) {
    poll_fn(|cx| {
        // What cannot be sent at once, nobody waits for.
        let _ = Pin::new(&mut *stream).poll_shutdown(cx);
        Poll::Ready(())
    })
    .await;
}

fn poll_discard<T>(stream: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<u64>>
where
    T: AsyncRead + Unpin,
{
    let mut space = [MaybeUninit::uninit(); READ_SIZE];
    let mut buf = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len() as u64))
}
