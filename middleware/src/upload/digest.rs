use std::fmt;

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// A digest algorithm of RFC 9530 that this library checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// `sha-256`
    Sha256,
    /// `sha-512`
    Sha512,
}

impl Algorithm {
    /// Its name in `Repr-Digest` and `Content-Digest` (RFC 9530 section 5).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|a| a.name() == name)
    }

    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A digest somebody declared or we computed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    algorithm: Algorithm,
    #[serde(with = "hex")]
    value: Vec<u8>,
}

impl Digest {
    /// Wraps a value of the right length.
    ///
    /// # Errors
    /// [`DigestError::Length`] when `value` has another length than the algorithm's.
    pub fn new(algorithm: Algorithm, value: Vec<u8>) -> Result<Self, DigestError> {
        if value.len() == algorithm.len() {
            Ok(Self { algorithm, value })
        } else {
            Err(DigestError::Length { algorithm })
        }
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The value as lower-case hex.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(&self.value)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.to_hex())
    }
}

/// Why a declared digest was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The value has another length than the algorithm's.
    #[error("a {} digest has {} bytes", algorithm.name(), algorithm.len())]
    Length {
        /// The algorithm that was named.
        algorithm: Algorithm,
    },
}

/// A digest being computed.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Starts a digest.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::default()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes added.
    #[must_use]
    pub fn finish(self) -> Digest {
        let (algorithm, value) = match self.0 {
            State::Sha256(state) => (Algorithm::Sha256, state.finalize().to_vec()),
            State::Sha512(state) => (Algorithm::Sha512, state.finalize().to_vec()),
        };
        Digest { algorithm, value }
    }
}

/// CRC-32C (Castagnoli) of a run of bytes, computed piece by piece.
pub struct Crc32c(crc_fast::Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self(crc_fast::Digest::new(Crc32Iscsi))
    }
}

impl Crc32c {
    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> u32 {
        low_32(crc_fast::checksum(Crc32Iscsi, bytes))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes added.
    #[must_use]
    pub fn finish(&self) -> u32 {
        low_32(self.0.finalize())
    }

    /// The checksum of two runs one after the other, the second of `len` bytes.
    #[must_use]
    pub fn join(first: u32, second: u32, len: u64) -> u32 {
        let joined = crc_fast::checksum_combine(Crc32Iscsi, first.into(), second.into(), len);
        low_32(joined)
    }
}

/// `crc-fast` answers every width in a `u64`; a 32-bit checksum fills its low half.
#[expect(clippy::cast_possible_truncation, reason = "the high half is zero")]
fn low_32(checksum: u64) -> u32 {
    checksum as u32
}
