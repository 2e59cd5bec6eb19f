//! Gigabytes that look random, made as fast as they are copied.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use steadfast_tests::data;
use steadfast_tests::upload::{Client, Session};
use steadfast_tests::wait;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 1 << 20;

const PAGE: usize = 4096;

/// Far above what handing gigabytes over takes.
const DELIVERED: Duration = Duration::from_secs(300);

/// Blocks that differ from each other in every page and depend on the seed alone.
pub(crate) struct Bulk {
    seed: u64,
    block: Vec<u8>,
}

impl Bulk {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            block: data::random(seed, BLOCK),
        }
    }

    /// Block `index`.
    pub(crate) fn block(&mut self, index: u64) -> &[u8] {
        let pages = (BLOCK / PAGE) as u64;
        for (page, bytes) in (index * pages..).zip(self.block.chunks_exact_mut(PAGE)) {
            let stamp = (self.seed ^ page).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            bytes[..8].copy_from_slice(&stamp.to_le_bytes());
        }
        &self.block
    }

    /// Writes the first `len` bytes to a new file and answers their SHA-256 in hex.
    pub(crate) fn write_file(&mut self, path: &Path, len: u64) -> io::Result<String> {
        let mut file = File::create_new(path)?;
        let mut sum = Sha256::new();
        self.pieces(len, |bytes| {
            sum.update(bytes);
            file.write_all(bytes)
        })?;
        Ok(hex::encode(sum.finalize()))
    }

    /// SHA-256 of the first `len` bytes, in hex.
    pub(crate) fn sha256(&mut self, len: u64) -> String {
        let mut sum = Sha256::new();
        let hashed = self.pieces(len, |bytes| {
            sum.update(bytes);
            Ok(())
        });
        hashed.expect("nothing can fail");
        hex::encode(sum.finalize())
    }

    fn pieces(
        &mut self,
        len: u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for index in 0..len.div_ceil(BLOCK as u64) {
            let left = len - index * BLOCK as u64;
            let count = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            take(&self.block(index)[..count])?;
        }
        Ok(())
    }
}

/// SHA-256 of a file, in hex.
pub(crate) fn sha256_of(path: &Path) -> io::Result<String> {
    let (mut file, mut sum) = (File::open(path)?, Sha256::new());
    let mut piece = vec![0; BLOCK];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(sum.finalize())),
            count => sum.update(&piece[..count]),
        }
    }
}

/// Waits until an upload is handed over, and answers its status.
pub(crate) fn delivered(client: Client, session: &Session) -> Value {
    wait::eventually("the upload is handed over", DELIVERED, || {
        let status = client.status(session);
        assert!(
            ["receiving", "finishing", "completed"].contains(&status["state"].as_str()?),
            "{status}"
        );
        (status["state"] == "completed").then_some(status)
    })
}
