use std::net::{IpAddr, SocketAddr};

/// The address of the client's end of the connection, as an extension of every request.
///
/// [`serve`](fn@crate::serve) puts it there. Under another accept loop the app does, for whatever
/// goes by addresses: `security.allow` and `deny`, `limits`, `server.trusted_proxies`.
///
/// An IPv4 client of a listener for both families has its IPv4 address here, not the mapped one.
/// Behind a proxy this is the proxy. In an axum handler: `Extension(PeerAddr(peer))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

impl PeerAddr {
    #[cfg(feature = "serve")]
    pub(crate) fn canonical(peer: SocketAddr) -> Self {
        Self(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }

    /// Without the port, and canonical whoever put it there.
    pub(crate) fn ip(self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}
