use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

/// The address of the client's end of the connection, as an extension of every request.
///
/// An IPv4 client of a listener for both families has its IPv4 address here, not the mapped one.
/// Behind a proxy this is the proxy. In an axum handler: `Extension(PeerAddr(peer))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

impl PeerAddr {
    pub(super) fn canonical(peer: SocketAddr) -> Self {
        Self(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }
}

/// The connection is secured by TLS: an extension of every request that came over one that is.
///
/// In an axum handler: `Option<Extension<Tls>>`. A request without it came in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The name of the server that the client asked for (SNI).
    pub server_name: Option<Arc<str>>,
    /// The client's certificate, in DER. There is one exactly where `server.tls_client_ca` asks for
    /// it, and it was verified.
    pub client_certificate: Option<Bytes>,
}
