//! TLS for the accept loop, by rustls.
//!
//! 1. TLS 1.2 and 1.3, with the cryptography that the app has installed in the process, else `ring`.
//! 2. The handshake belongs to a new connection's time for its first head
//!    ([`header_timeout`](super::Limits::header_timeout) from the accept), and is the connection's
//!    own: no other one waits for it.
//! 3. ALPN offers `h2` and `http/1.1`, and what it settles holds. A client without it is told apart
//!    by its first bytes, as without TLS.
//! 4. A client that speaks plain HTTP is told so, with `400` in plain text.
//! 5. No data before the end of the handshake (0-RTT): it could be replayed.
//! 6. Sessions are resumed by tickets under keys of this process alone, which are replaced every six
//!    hours and with every reload. Where clients need a certificate there are none: each connection
//!    shows it anew, so that one that has expired or lost its authority is let in no more.
//! 7. A connection that ends in good order says so (`close_notify`); one that is cut, or ends within a
//!    response, does not. The same is asked of clients: without it what they sent counts as cut off.
//! 8. Files are taken up when they are replaced, for new connections; what cannot be used changes
//!    nothing, and the log says why.

mod greet;
mod identity;
mod pem;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use identity::Identity;
