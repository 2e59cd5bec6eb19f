use std::sync::Arc;

use bytes::Bytes;

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
