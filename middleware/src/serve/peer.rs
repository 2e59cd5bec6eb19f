use std::net::SocketAddr;

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
