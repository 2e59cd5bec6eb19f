//! Test data and the checksums the tests compute on their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// `len` bytes that look random and depend on `seed` alone (xorshift64*).
#[must_use]
pub fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The value of `Repr-Digest` or `Content-Digest` with SHA-256 (RFC 9530).
#[must_use]
pub fn digest_sha256(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

/// The value of `Repr-Digest` or `Content-Digest` with SHA-512 (RFC 9530).
#[must_use]
pub fn digest_sha512(bytes: &[u8]) -> String {
    format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(bytes)))
}

/// CRC-32C, the checksum that the answer to a finished upload carries.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(sum).expect("a CRC-32C has 32 bits")
}

/// `hex(HMAC-SHA256(secret, message))`.
#[must_use]
pub fn hmac_hex(secret: &str, message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length of key");
    mac.update(message.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// True when `needle` occurs in `haystack`.
#[must_use]
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    count(haystack, needle) > 0
}

/// How often `needle` occurs in `haystack`.
///
/// # Panics
/// When `needle` is empty.
#[must_use]
pub fn count(haystack: &[u8], needle: &[u8]) -> usize {
    assert!(!needle.is_empty(), "an empty needle is everywhere");
    haystack
        .windows(needle.len())
        .filter(|at| *at == needle)
        .count()
}
