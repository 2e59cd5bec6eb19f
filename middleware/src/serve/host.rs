use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Version};

/// Whether a head says where it goes as RFC 9112, section 3.2, asks for: by one `Host` that is one,
/// which HTTP/1.0 and HTTP/2 may leave out.
pub(super) fn is_named(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version != Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

/// A host, perhaps with a port; empty where the target has none (RFC 9110, section 7.2).
fn is_host(value: &HeaderValue) -> bool {
    let authority = Authority::try_from(value.as_bytes());
    value.is_empty() || authority.is_ok_and(|authority| !authority.as_str().contains('@'))
}
