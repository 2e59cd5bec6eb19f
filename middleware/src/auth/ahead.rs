use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Denied;
use super::message::Nonce;

/// What a nonce is known by, and when it was made (seconds since 1970, little-endian).
const RECORD_LEN: usize = 16 + 8;
/// It is looked for records that are needed no more when there are so many.
const RECORDS_MAX: usize = 4_096;

/// The used nonces of signatures that were made by a clock ahead of ours, in a file: the next process has to
/// know them. They survive the death of this one; a power cut lasts longer than clocks are ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    path: PathBuf,
    /// Opened when there is something to be written.
    file: Option<File>,
    records: usize,
    /// With how many records it is shortened.
    shorten_at: usize,
}

impl Ahead {
    /// Reads the file, where there is one: what it says of signatures that were made at `horizon` or
    /// later.
    pub(super) fn open(path: &Path, horizon: u64) -> io::Result<(Self, HashMap<[u8; 16], u64>)> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            read => read.unwrap_or_default(),
        };
        // A record that was cut short was never used.
        let used = bytes.chunks_exact(RECORD_LEN).map(read);
        let used: HashMap<_, _> = used.filter(|(_, created)| *created >= horizon).collect();
        let mut this = Self {
            path: path.to_owned(),
            file: None,
            records: used.len(),
            shorten_at: RECORDS_MAX.max(2 * used.len()),
        };
        if bytes.len() != used.len() * RECORD_LEN {
            let whole = bytes.len() / RECORD_LEN * RECORD_LEN;
            // A full disk keeps nobody from starting.
            let file = write(path, &used, horizon).or_else(|_| cut(path, whole as u64));
            this.file = Some(file?);
        }
        Ok((this, used))
    }

    /// Adds one.
    pub(super) fn note(&mut self, nonce: Nonce) -> Result<(), Denied> {
        let record = record(&nonce.print, nonce.created);
        let mut file = match self.file.take() {
            Some(file) => file,
            None => append(&self.path).map_err(|error| lost(&error))?,
        };
        file.write_all(&record).map_err(|error| lost(&error))?;
        self.file = Some(file);
        self.records += 1;
        Ok(())
    }

    pub(super) fn is_long(&self) -> bool {
        self.records >= self.shorten_at
    }

    /// Keeps those of `used` that are still ahead of `now`.
    pub(super) fn shorten(
        &mut self,
        used: &HashMap<[u8; 16], u64>,
        now: u64,
    ) -> Result<(), Denied> {
        let file = write(&self.path, used, now).map_err(|error| lost(&error))?;
        self.file = Some(file);
        self.records = used.values().filter(|created| **created >= now).count();
        self.shorten_at = RECORDS_MAX.max(2 * self.records);
        Ok(())
    }
}

fn lost(error: &io::Error) -> Denied {
    tracing::error!(%error, "it cannot be kept which signatures were used");
    Denied::Unknowable
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// Takes off what was cut short.
fn cut(path: &Path, len: u64) -> io::Result<File> {
    let file = append(path)?;
    file.set_len(len)?;
    Ok(file)
}

/// Writes a file of those that were made at `horizon` or later, in place of the one there is.
fn write(path: &Path, used: &HashMap<[u8; 16], u64>, horizon: u64) -> io::Result<File> {
    let kept = used.iter().filter(|(_, created)| **created >= horizon);
    let records: Vec<u8> = kept
        .flat_map(|(print, created)| record(print, *created))
        .collect();
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(&records)?;
    fs::rename(&new, path)?;
    Ok(file)
}

fn record(print: &[u8; 16], created: u64) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[..16].copy_from_slice(print);
    record[16..].copy_from_slice(&created.to_le_bytes());
    record
}

fn read(record: &[u8]) -> ([u8; 16], u64) {
    let (mut print, mut created) = ([0; 16], [0; 8]);
    print.copy_from_slice(&record[..16]);
    created.copy_from_slice(&record[16..]);
    (print, u64::from_le_bytes(created))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_short_and_loses_nothing_that_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ahead");
        let (mut ahead, mut used) = Ahead::open(&path, 100).unwrap();
        for number in 0..3 * RECORDS_MAX as u64 {
            let mut print = [0; 16];
            print[..8].copy_from_slice(&number.to_le_bytes());
            // Every other one is over soon.
            let created = 100 + number % 2 * 1_000;
            ahead.note(Nonce { print, created }).unwrap();
            used.insert(print, created);
            if ahead.is_long() {
                ahead.shorten(&used, 500).unwrap();
            }
        }
        assert!(fs::metadata(&path).unwrap().len() < 3 * (RECORDS_MAX * RECORD_LEN) as u64);
        let (_, read) = Ahead::open(&path, 500).unwrap();
        assert_eq!(read.len(), 3 * RECORDS_MAX / 2);
        let (_, later) = Ahead::open(&path, 1_101).unwrap();
        assert!(later.is_empty());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_record_that_was_cut_short_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ahead");
        fs::write(&path, [7; RECORD_LEN + 5]).unwrap();
        let (_, read) = Ahead::open(&path, 0).unwrap();
        assert_eq!(read.len(), 1);
    }
}
