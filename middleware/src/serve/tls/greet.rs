use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::identity::Identity;
use super::session::{Session, raw};
use crate::serve::connection::{LATE_LINGER, Terms};
use crate::serve::linger;

const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 24\r\n\r\nThis port speaks https.\n";

impl Identity {
    /// Shakes hands with a client; nothing if that takes too long, fails, or the server stops.
    pub(crate) async fn greet(&self, stream: TcpStream, terms: &Terms) -> Option<Session> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let greeted = tokio::select! {
            biased;
            greeted = shake(acceptor, stream) => greeted,
            () = terms.head_is_late() => Err(io::ErrorKind::TimedOut.into()),
            () = terms.orders.stop.cancelled() => return None,
        };
        // Anybody can fail: that is no trouble of this server.
        let log = |error: &io::Error| {
            tracing::debug!(peer = %terms.peer, %error, "there was no handshake");
        };
        greeted.inspect_err(log).ok()
    }
}

async fn shake(acceptor: TlsAcceptor, mut stream: TcpStream) -> io::Result<Session> {
    if speaks_http(&stream).await? {
        part(&mut stream, SPEAKS_TLS).await;
        let text = "the client speaks plain HTTP";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    match acceptor.accept(raw(stream)).into_fallible().await {
        Ok(stream) => Ok(Session::new(stream)),
        Err((error, mut stream)) => {
            // It was told why, and may be sending already.
            part(&mut stream, &[]).await;
            Err(error)
        }
    }
}

/// A handshake begins with byte 22 (RFC 8446, section 5.1), a request with a letter.
async fn speaks_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let len = stream.peek(&mut first).await?;
    Ok(len > 0 && first[0].is_ascii_alphabetic())
}

async fn part<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T, answer: &[u8]) {
    // It may be gone.
    let _ = timeout(LATE_LINGER, linger::part(stream, answer)).await;
}
