//! What was computed, for the next process: a file of records of equal length that is only ever
//! appended to or replaced. It is a cache: a record that is damaged or missing costs computing
//! again, a wrong one is found out when the bytes are compared.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::candidate::{Digest, Facts, FileId, Stamp};
use crate::upload::Crc32c;

const NAME: &str = "digests";
/// Tells the format.
const MAGIC: &[u8; 16] = b"steadfast dedup1";
const MAGIC_LEN: u64 = MAGIC.len() as u64;
const RECORD_LEN: usize = 72;
/// A file with fewer superfluous records than this is not rewritten.
const SLACK: u64 = 4096;

/// The cache, open for appending.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    /// `None` when it cannot be written, which is no reason to stop.
    file: Option<File>,
    /// What an earlier process computed, by inode: the numbers of devices change when the machine
    /// is started, and an inode with these very times on another one is as good a guess.
    known: HashMap<u64, (Stamp, Digest, bool)>,
    deferred: HashMap<u64, (Stamp, Digest, bool)>,
    records: u64,
}

impl Cache {
    /// Reads the cache in `dir`, as far as it can be.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join(NAME);
        let mut cache = Self {
            known: HashMap::new(),
            deferred: HashMap::new(),
            file: None,
            records: 0,
            path,
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        match made.and_then(|()| cache.read()) {
            Ok(Some(len)) => cache.append(len),
            Ok(None) => cache.rewrite(std::iter::empty()),
            Err(error) => cache.give_up(&error),
        }
        cache
    }

    /// Answers how many bytes of the file are whole records, if it is one of ours.
    fn read(&mut self) -> io::Result<Option<u64>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut file = BufReader::new(file);
        let (mut magic, mut bytes) = ([0; MAGIC.len()], [0; RECORD_LEN]);
        if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Ok(None);
        }
        loop {
            match file.read_exact(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            self.records += 1;
            if let Some((ino, stamp, digest, shared)) = decode(&bytes) {
                self.known.insert(ino, (stamp, digest, shared));
            }
        }
        Ok(Some(MAGIC_LEN + self.records * RECORD_LEN as u64))
    }

    /// Goes on behind the first `len` bytes: a record that was cut short goes.
    fn append(&mut self, len: u64) {
        let file = OpenOptions::new().append(true).open(&self.path);
        match file.and_then(|file| file.set_len(len).map(|()| file)) {
            Ok(file) => self.file = Some(file),
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        tracing::debug!(%error, "what deduplication computes is not kept for the next start");
        self.file = None;
    }

    /// What is known of a file as it is now; answered once.
    pub fn take(&mut self, facts: &Facts) -> Option<(Digest, bool)> {
        let (stamp, digest, shared) = self.known.remove(&facts.id.ino)?;
        (stamp == facts.stamp).then_some((digest, shared))
    }

    /// Keeps what is known of a file that will be asked for later.
    pub fn defer(&mut self, id: FileId) {
        self.deferred.extend(self.known.remove_entry(&id.ino));
    }

    /// Whether a file was known before as it is now.
    pub fn knows(&self, facts: &Facts) -> bool {
        let known = self.known.get(&facts.id.ino);
        known.is_some_and(|(stamp, ..)| *stamp == facts.stamp)
    }

    /// Keeps what was computed.
    pub fn put(&mut self, id: FileId, stamp: &Stamp, digest: &Digest, shared: bool) {
        let Some(file) = &mut self.file else { return };
        self.records += 1;
        if let Err(error) = file.write_all(&encode(id.ino, stamp, digest, shared)) {
            self.give_up(&error);
        }
    }

    /// After everything was seen: drops what nobody asked for, and makes the file short where most
    /// of it is of no use. `all` is what it should hold, `count` records.
    pub fn settle(
        &mut self,
        count: usize,
        all: impl Iterator<Item = (FileId, Stamp, Digest, bool)>,
    ) {
        self.known = std::mem::take(&mut self.deferred);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if self.records > count.saturating_mul(2).saturating_add(SLACK) {
            self.rewrite(all);
        }
    }

    fn rewrite(&mut self, all: impl Iterator<Item = (FileId, Stamp, Digest, bool)>) {
        let new = self.path.with_extension("new");
        let written = (|| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = BufWriter::new(options.open(&new)?);
            let mut records = 0;
            file.write_all(MAGIC)?;
            for (id, stamp, digest, shared) in all {
                file.write_all(&encode(id.ino, &stamp, &digest, shared))?;
                records += 1;
            }
            let file = file.into_inner()?;
            fs::rename(&new, &self.path)?;
            Ok((file, records))
        })();
        match written {
            Ok((file, records)) => {
                self.file = Some(file);
                self.records = records;
            }
            Err(error) => {
                let _ = fs::remove_file(&new);
                self.give_up(&error);
            }
        }
    }
}

/// Little endian: inode, size, both times, digest, whether it is shared, checksum.
fn encode(ino: u64, stamp: &Stamp, digest: &Digest, shared: bool) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..8].copy_from_slice(&ino.to_le_bytes());
    bytes[8..16].copy_from_slice(&stamp.size.to_le_bytes());
    bytes[16..24].copy_from_slice(&stamp.modified.to_le_bytes());
    bytes[24..32].copy_from_slice(&stamp.changed.to_le_bytes());
    bytes[32..64].copy_from_slice(digest);
    bytes[64..68].copy_from_slice(&u32::from(shared).to_le_bytes());
    let checksum = Crc32c::of(&bytes[..68]);
    bytes[68..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; RECORD_LEN]) -> Option<(u64, Stamp, Digest, bool)> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if Crc32c::of(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (ino, body) = body.split_first_chunk::<8>()?;
    let (size, body) = body.split_first_chunk::<8>()?;
    let (modified, body) = body.split_first_chunk::<8>()?;
    let (changed, body) = body.split_first_chunk::<8>()?;
    let (digest, shared) = body.split_first_chunk::<32>()?;
    let stamp = Stamp {
        size: u64::from_le_bytes(*size),
        modified: i64::from_le_bytes(*modified),
        changed: i64::from_le_bytes(*changed),
    };
    Some((u64::from_le_bytes(*ino), stamp, *digest, shared[0] != 0))
}
