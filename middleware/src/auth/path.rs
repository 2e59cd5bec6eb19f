//! Scheme `path`: `X-Signature: hex(HMAC-SHA256(secret, path))`, the path as received, without
//! the query.
//!
//! The signature is one constant per path for ever: whoever sees it once can use it for any file
//! of any name. It is for drop-in compatibility, and must be named in `security.schemes`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::KeyRing;

/// Name of the header that carries the signature.
pub const HEADER: &str = "x-signature";

/// Signs a path with a secret: lower-case hex, 64 characters.
#[must_use]
pub fn sign(secret: &[u8], path: &str) -> String {
    hex::encode(mac(secret, path).finalize().into_bytes())
}

/// The id of the key in `ring` that made `signature`, lower or upper case hex, of `path`.
/// The time it takes does not depend on where a wrong signature differs.
#[must_use]
pub fn verify<'a>(ring: &'a KeyRing, path: &str, signature: &[u8]) -> Option<&'a str> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(signature, &mut bytes).ok()?;
    let made = |secret: &[u8]| mac(secret, path).verify_slice(&bytes).is_ok();
    ring.valid()
        .find(|key| made(key.secret.expose()))
        .map(|key| key.id.as_str())
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(secret: &[u8], path: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key length is valid");
    mac.chain_update(path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn the_signature_is_what_openssl_makes() {
        // printf %s /upload/chunked | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let expected = "32e5e987a0f09317771463c6de1c682b3b65176a3f0026e89f7802fce8764842";
        let signature = sign(b"0123456789abcdef0123456789abcdef", "/upload/chunked");
        assert_eq!(signature, expected);
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn only_the_right_path_key_and_whole_hex_pass() {
        let secret = b"0123456789abcdef0123456789abcdef";
        let ring = KeyRing::of("main", Secret::new(secret.to_vec()).unwrap());
        let good = sign(secret, "/upload");
        assert_eq!(verify(&ring, "/upload", good.as_bytes()), Some("main"));
        assert_eq!(
            verify(&ring, "/upload", good.to_uppercase().as_bytes()),
            Some("main")
        );
        for (path, signature) in [
            ("/upload/", good.clone()),
            ("/upload", sign(b"another secret of this length", "/upload")),
            ("/upload", good[..62].to_owned()),
            ("/upload", format!("{good}00")),
            ("/upload", good.replace(|_| true, "z")),
            ("/upload", String::new()),
        ] {
            assert_eq!(
                verify(&ring, path, signature.as_bytes()),
                None,
                "{path} {signature}"
            );
        }
    }
}
