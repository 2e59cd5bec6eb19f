//! What a client is going to upload: a name, and bytes that follow from a seed.

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use super::rng::Rng;
use crate::config::CHUNK;
use crate::data;

/// How client and server come to agree on the size of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreed {
    /// The server's announcement is taken.
    Announced,
    /// The client says so at create.
    Declared,
    /// The length of chunk 0 says so.
    Adopted,
}

/// What the client says of the whole file's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// Nothing.
    Nothing,
    /// What it is.
    Truth,
    /// That of other bytes: the upload must end rejected.
    Falsehood,
}

/// A file and how it is announced.
#[derive(Debug)]
pub struct Plan {
    /// Its name, unlike any other.
    pub name: String,
    /// Its length in bytes.
    pub size: usize,
    /// Bytes of every chunk but the last.
    pub chunk_size: usize,
    /// How that is agreed.
    pub agreed: Agreed,
    /// What create says of its digest.
    pub declared: Declared,
    /// The `Idempotency-Key` of its create.
    pub idempotency: Option<String>,
    seed: u64,
    sha256: OnceLock<String>,
}

impl Plan {
    /// A file of `size` bytes in chunks of the announced size.
    #[must_use]
    pub fn plain(name: String, size: usize, seed: u64) -> Self {
        Self {
            name,
            size,
            chunk_size: CHUNK,
            agreed: Agreed::Announced,
            declared: Declared::Nothing,
            idempotency: None,
            seed,
            sha256: OnceLock::new(),
        }
    }

    /// Some file.
    #[must_use]
    pub fn random(name: String, rng: &mut Rng) -> Self {
        let (size, chunk_size) = shape(rng);
        let mut plan = Self::plain(name, size, rng.draw());
        plan.chunk_size = chunk_size;
        if chunk_size != CHUNK {
            let adoptable = size > chunk_size && rng.chance(50);
            plan.agreed = if adoptable {
                Agreed::Adopted
            } else {
                Agreed::Declared
            };
        }
        if rng.chance(30) {
            plan.idempotency = Some(format!("{:032x}", rng.draw()));
        }
        plan.declared = match rng.within(0..=99) {
            0..=2 if size > 0 => Declared::Falsehood,
            3..=25 => Declared::Truth,
            _ => Declared::Nothing,
        };
        plan
    }

    /// Number of chunks.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.size.div_ceil(self.chunk_size)
    }

    /// Length of a chunk in bytes.
    #[must_use]
    pub fn len_of(&self, chunk: usize) -> usize {
        self.chunk_size.min(self.size - chunk * self.chunk_size)
    }

    /// The bytes of a chunk.
    #[must_use]
    pub fn bytes(&self, chunk: usize) -> Vec<u8> {
        let seed = self.seed ^ (chunk as u64 + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        data::random(seed, self.len_of(chunk))
    }

    /// SHA-256 of the whole file, in hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| {
            let mut hash = Sha256::new();
            (0..self.chunks()).for_each(|chunk| hash.update(self.bytes(chunk)));
            hex::encode(hash.finalize())
        })
    }

    /// The whole file.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        (0..self.chunks())
            .flat_map(|chunk| self.bytes(chunk))
            .collect()
    }
}

/// Size of a file and of its chunks: mostly some dozen of the smallest chunks, and the edges.
fn shape(rng: &mut Rng) -> (usize, usize) {
    match rng.within(0..=99) {
        0..=3 => (0, CHUNK),
        4..=19 => (rng.within(1..=CHUNK), CHUNK),
        20..=29 => (CHUNK * rng.within(2..=12), CHUNK),
        30..=79 => (rng.within(CHUNK + 1..=CHUNK * 32), CHUNK),
        80..=94 => (rng.within(CHUNK..=CHUNK * 40), 4 * CHUNK),
        _ => (rng.within(CHUNK..=CHUNK * 80), 16 * CHUNK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_the_file() {
        let mut rng = Rng::new(3);
        for number in 0..50 {
            let plan = Plan::random(format!("{number}.bin"), &mut rng);
            let lens: usize = (0..plan.chunks()).map(|chunk| plan.len_of(chunk)).sum();
            assert_eq!(lens, plan.size);
            assert_eq!(plan.whole().len(), plan.size);
            assert_eq!(plan.sha256(), data::sha256_hex(&plan.whole()));
        }
    }

    #[test]
    fn no_two_chunks_are_alike() {
        let plan = Plan::plain("a".to_owned(), 3 * CHUNK, 9);
        assert_ne!(plan.bytes(0), plan.bytes(1));
        assert_eq!(plan.bytes(2), plan.bytes(2));
    }
}
