//! The I/O of a connection as hyper sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::phase::Phases;
use super::secure::Tls;
use super::sniff::Opening;
use crate::protocol::Presence;

/// A byte stream to a client.
pub(super) trait Socket: AsyncRead + AsyncWrite {
    /// Whether the client has closed its side, while nobody reads. Not known on every system.
    fn is_left(&self) -> bool;

    /// Whether client and server have settled on HTTP/2; nothing if they have settled on none.
    fn is_http2(&self) -> Option<bool>;

    /// What the client has shown, where there is TLS.
    fn tls(&self) -> Option<Tls>;
}

impl Socket for TcpStream {
    #[cfg(target_os = "linux")]
    fn is_left(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let mut asked = [PollFd::new(self, PollFlags::RDHUP)];
        // What cannot be asked is found out by reading.
        poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    #[cfg(not(target_os = "linux"))]
    fn is_left(&self) -> bool {
        false
    }

    fn is_http2(&self) -> Option<bool> {
        None
    }

    fn tls(&self) -> Option<Tls> {
        None
    }
}

/// A stream that reports what [`Phases`] must know and, when it is dropped, gives the socket back
/// instead of closing it, so that its task can part from the client in good order.
///
/// Reads and writes are forwarded as they are. Events about the raw stream (the client is gone while
/// nobody reads the body, a body that makes no progress) belong here too.
#[derive(Debug)]
pub(super) struct Io<T> {
    /// What was read to tell the protocols apart, not yet read by hyper.
    opening: Opening,
    /// Taken by `drop` only.
    stream: Option<Remains<T>>,
    phases: Arc<Phases>,
    presence: Option<Presence>,
    back: Option<oneshot::Sender<Remains<T>>>,
}

/// What is left when HTTP is over.
#[derive(Debug)]
pub(super) struct Remains<T> {
    pub(super) stream: T,
    /// The client has closed its side, or the connection is broken.
    pub(super) ended: bool,
    /// Our side was shut down in good order.
    pub(super) shut: bool,
    /// The place among `max_connections`; an upgraded connection keeps it too.
    _permit: OwnedSemaphorePermit,
}

impl<T> Io<T> {
    /// Wraps `stream`. The receiver has the remains as soon as the wrapper is dropped.
    pub(super) fn new(
        stream: T,
        opening: Opening,
        phases: Arc<Phases>,
        permit: OwnedSemaphorePermit,
        presence: Option<Presence>,
    ) -> (Self, oneshot::Receiver<Remains<T>>) {
        let (back, remains) = oneshot::channel();
        let stream = Remains {
            stream,
            ended: false,
            shut: false,
            _permit: permit,
        };
        (
            Self {
                opening,
                stream: Some(stream),
                phases,
                presence,
                back: Some(back),
            },
            remains,
        )
    }

    fn open(&mut self) -> io::Result<&mut Remains<T>> {
        self.stream
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T> Drop for Io<T> {
    fn drop(&mut self) {
        if let (Some(back), Some(stream)) = (self.back.take(), self.stream.take()) {
            // Nobody waits for an upgraded connection: then it just closes.
            let _ = back.send(stream);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.opening.is_empty() {
            this.opening.read(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let open = this.open()?;
        let result = ready!(Pin::new(&mut open.stream).poll_read(cx, buf));
        if result.is_err() || (buf.filled().len() == before && buf.remaining() > 0) {
            open.ended = true;
        } else {
            this.phases.received();
        }
        Poll::Ready(result)
    }
}

impl<T: Socket + Unpin> AsyncWrite for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.phases.writes();
        let count = ready!(Pin::new(&mut this.open()?.stream).poll_write(cx, buf))?;
        this.phases.written();
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.phases.writes();
        let count = ready!(Pin::new(&mut this.open()?.stream).poll_write_vectored(cx, bufs))?;
        this.phases.written();
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|open| open.stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper comes by here whenever it is polled.
        if this.presence.as_ref().is_some_and(Presence::is_asked) {
            let is_there = !this.open()?.stream.is_left();
            this.presence
                .iter()
                .for_each(|presence| presence.tell(is_there));
        }
        ready!(Pin::new(&mut this.open()?.stream).poll_flush(cx))?;
        // hyper flushes only when it has written all it had.
        this.phases.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let open = self.get_mut().open()?;
        ready!(Pin::new(&mut open.stream).poll_shutdown(cx))?;
        open.shut = true;
        Poll::Ready(Ok(()))
    }
}
