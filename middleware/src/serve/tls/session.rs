use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::serve::Tls;
use crate::serve::io::Socket;

/// Most bytes read from a socket at once. By itself rustls asks for 4 KiB at a time, which costs an
/// upload a tenth of its processor time more.
const READ_SIZE: usize = 32 << 10;

/// What lies below TLS.
pub(super) type Raw = BufReader<TcpStream>;

/// `stream`, read in large pieces.
pub(super) fn raw(stream: TcpStream) -> Raw {
    BufReader::with_capacity(READ_SIZE, stream)
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Session(Box<TlsStream<Raw>>);

impl Session {
    pub(super) fn new(stream: TlsStream<Raw>) -> Self {
        Self(Box::new(stream))
    }
}

impl Socket for Session {
    // Whoever leaves closes the connection below as well.
    fn is_left(&self) -> bool {
        self.0.get_ref().0.get_ref().is_left()
    }

    fn is_http2(&self) -> Option<bool> {
        let settled = self.0.get_ref().1.alpn_protocol();
        settled.map(|protocol| protocol == b"h2")
    }

    fn tls(&self) -> Option<Tls> {
        let session = self.0.get_ref().1;
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        Some(Tls {
            server_name: session.server_name().map(Arc::from),
            client_certificate: certificate.map(|der| Bytes::copy_from_slice(der)),
        })
    }
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
