use std::net::SocketAddr;

use http::Request;
use hyper::service::Service;

use crate::protocol::Presence;

/// The address of the client's end of the connection, as an extension of every request.
///
/// An IPv4 client of a listener for both families has its IPv4 address here, not the mapped one.
/// Behind a proxy this is the proxy. In an axum handler: `Extension(PeerAddr(peer))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

impl PeerAddr {
    fn canonical(peer: SocketAddr) -> Self {
        Self(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }
}

/// Tells the service who asks.
#[derive(Debug)]
pub(super) struct WithPeer<S> {
    inner: S,
    peer: PeerAddr,
    presence: Option<Presence>,
}

impl<S> WithPeer<S> {
    pub(super) fn new(inner: S, peer: SocketAddr, presence: Option<Presence>) -> Self {
        Self {
            inner,
            peer: PeerAddr::canonical(peer),
            presence,
        }
    }
}

impl<S, B> Service<Request<B>> for WithPeer<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        if let Some(presence) = &self.presence {
            request.extensions_mut().insert(presence.clone());
        }
        self.inner.call(request)
    }
}
