//! An accept loop that enforces what a tower layer cannot: how long a client may take to send a
//! request and to take its response, and how a connection ends.
//!
//! HTTP/1.1 and HTTP/2 (with prior knowledge, or by TLS) are served on the same port. The rules:
//!
//! 1. A request's head must be complete [`header_timeout`](Limits::header_timeout) after its first
//!    byte, on a new connection after the accept, the handshake of TLS included. Otherwise the answer
//!    is `408` and the connection closes; a client that said nothing, or speaks HTTP/2, gets no
//!    answer.
//! 2. Between requests a connection is closed silently after
//!    [`idle_timeout`](Limits::idle_timeout). On HTTP/2 that is while no request runs, and the client
//!    is told by `GOAWAY`.
//! 3. While a request is served, neither applies. Its body must have arrived
//!    [`read_timeout`](Limits::read_timeout) after its head: if the app waits for more of it then,
//!    it gets an error ([`Incoming`]), an error that it answers to that is sent as `408`, and the
//!    connection closes (on HTTP/2: that request ends). The time that an app takes with a body that
//!    is there does not count; nor does this apply to chunks of an upload, whose patience is
//!    `uploads.stall_timeout` and `uploads.min_rate`.
//! 4. A response must be out [`write_timeout`](Limits::write_timeout) after its head, or the
//!    connection is cut (on HTTP/2: the stream is reset). One that is marked [`NoWriteTimeout`]
//!    is cut when its client has taken nothing for so long of what there is.
//! 5. A head of more than [`max_header_size`](Limits::max_header_size) bytes is answered `431` and
//!    the connection closes (on HTTP/2: that request ends).
//! 6. A client that still sends when it has been answered can read the answer: our side is shut down
//!    and the rest is discarded, for [`linger`](Limits::linger) and 64 MiB at most, after a late head
//!    for half a second.
//! 7. With [`max_connections`](Limits::max_connections) open, the next ones wait in the kernel's
//!    backlog. An error of accept is waited out and never ends the server.
//! 8. When asked to stop, the server closes the port and idle connections at once, lets running
//!    requests finish and cuts what is left after [`shutdown`](Limits::shutdown).
//! 9. A request names one host at most, and a valid one, and of HTTP/1.1 names one: otherwise the
//!    answer is `400` and the connection closes (RFC 9112, section 3.2, which hyper leaves to its
//!    users; on HTTP/2 that request ends).
//!
//! ```
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! use axum::{Router, routing::get};
//! use steadfast::serve::{Limits, Server};
//!
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! let limits = Limits {
//!     header_timeout: Duration::from_secs(10),
//!     read_timeout: Duration::from_secs(4800),
//!     write_timeout: Duration::from_secs(4800),
//!     idle_timeout: Duration::from_secs(75),
//!     shutdown: Duration::from_secs(30),
//!     max_connections: 4096,
//!     max_header_size: 32 << 10,
//!     linger: Duration::from_secs(5),
//! };
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let app = Router::new().route("/", get(|| async { "hello" }));
//!
//! let client = tokio::task::spawn_blocking(move || {
//!     let ask = |head: &str| {
//!         let mut stream = std::net::TcpStream::connect(address)?;
//!         stream.write_all(head.as_bytes())?;
//!         let mut answer = String::new();
//!         stream.read_to_string(&mut answer).map(|_| answer)
//!     };
//!     let served = ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
//!     assert!(served.starts_with("HTTP/1.1 200 ") && served.ends_with("hello"));
//!     let refused = ask(&format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", "a".repeat(40 << 10)))?;
//!     assert!(refused.starts_with("HTTP/1.1 431 "));
//!     std::io::Result::Ok(())
//! });
//! let stop = async { client.await.unwrap().unwrap() };
//! let drained = Server::new(limits).run(listener, app, stop, async {}).await?;
//! assert!(drained.is_complete());
//! # Ok(()) }
//! ```
//!
//! # Deployment
//!
//! [`serve`](serve()) speaks TLS where `server.tls_cert` says so (feature `tls`): requests then have
//! [`Tls`] among their extensions. [`Server`] by itself does not.
//!
//! A proxy in front needs an idle timeout towards this server that is *shorter* than
//! [`idle_timeout`](Limits::idle_timeout), or it may send a request on a connection that is just
//! being closed. `max_connections` needs as many file descriptors (`ulimit -n`), and one
//! for every file the app opens. An upgraded connection (a WebSocket) counts until the app drops it,
//! and is not waited for when the server stops.

mod accept;
mod app;
mod connection;
mod host;
mod incoming;
mod io;
mod linger;
mod outgoing;
mod phase;
mod run;
mod scrape;
mod secure;
mod server;
mod signal;
mod sniff;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod watch;

pub use crate::address::PeerAddr;
pub use app::NoWriteTimeout;
#[cfg(not(feature = "tls"))]
pub(crate) use connection::Terms;
pub use incoming::Incoming;
pub use run::{check, serve};
pub(crate) use scrape::MetricsPort;
pub use secure::Tls;
pub use server::{Drained, Limits, Server};
pub use signal::stop_signal;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
