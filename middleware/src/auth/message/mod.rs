//! Scheme `message`: HTTP Message Signatures (RFC 9421) with `hmac-sha256`.
//!
//! - [`verify`]: whether a request is signed, by which of our keys, and when.
//! - [`sign`]: a signature of ours.
//! - `base`: what is signed: the components of a request, one per line.
//! - `fields`: `Signature-Input` and `Signature`.

mod base;
mod fields;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod sign;
mod verify;

use http::{HeaderMap, Method, Uri};

pub use sign::{Signed, content_digest, sign};
pub use verify::{Nonce, Verified, Window, not_before, verify};

/// Name of the header that says what is signed.
pub const INPUT: &str = "signature-input";
/// Name of the header that carries the signature.
pub const SIGNATURE: &str = "signature";
/// The one algorithm there is here (RFC 9421 section 3.3.3).
pub const ALGORITHM: &str = "hmac-sha256";

/// A request as its signature sees it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// What the client's path may begin with, where a proxy takes it off: either is right.
    pub public_base: &'a str,
    /// Whether it came over TLS, as far as is known.
    pub is_secure: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
