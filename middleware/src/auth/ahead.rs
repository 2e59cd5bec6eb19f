use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::message::Nonce;

/// What a nonce is known by, and when it was made (seconds since 1970, little-endian).
const RECORD_LEN: usize = 16 + 8;
/// It is looked for records that are needed no more when there are so many.
const RECORDS_MAX: usize = 4_096;

/// The used nonces of signatures that were made by a clock ahead of ours, in a file: the next process has to
/// know them. They survive the death of this one, not a power cut.
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
            // A full disk keeps nobody from starting.
            this.file = Some(write(path, &used).or_else(|_| append(path))?);
        }
        Ok((this, used))
    }

    /// Adds one.
    ///
    /// # Errors
    /// Those of the file: it may or may not be there.
    pub(super) fn note(&mut self, nonce: Nonce) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => append(&self.path)?,
        };
        file.write_all(&record(&nonce.print, nonce.created))?;
        self.file = Some(file);
        self.records += 1;
        Ok(())
    }

    pub(super) fn is_long(&self) -> bool {
        self.records >= self.shorten_at
    }

    /// Keeps `used` only. A disk that does not take them leaves it as long as it is.
    pub(super) fn shorten(&mut self, used: &HashMap<[u8; 16], u64>) {
        match write(&self.path, used) {
            Ok(file) => {
                self.file = Some(file);
                self.records = used.len();
            }
            Err(error) => {
                tracing::warn!(%error, "what is known of used signatures stays long");
            }
        }
        self.shorten_at = RECORDS_MAX.max(2 * self.records);
    }
}

/// Opens the file behind its last whole record: one that was cut short was never used.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path)?;
    let len = file.metadata()?.len();
    let record = RECORD_LEN as u64;
    if len % record != 0 {
        file.set_len(len / record * record)?;
    }
    Ok(file)
}

/// Writes a file of `used` in place of the one there is.
fn write(path: &Path, used: &HashMap<[u8; 16], u64>) -> io::Result<File> {
    let records = used
        .iter()
        .flat_map(|(print, created)| record(print, *created));
    let records: Vec<u8> = records.collect();
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
            if created >= 500 {
                used.insert(print, created);
            }
            if ahead.is_long() {
                ahead.shorten(&used);
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

    #[test]
    fn what_follows_a_record_that_was_cut_short_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ahead");
        let (mut ahead, _) = Ahead::open(&path, 0).unwrap();
        // The disk was full in the middle of it.
        fs::write(&path, [7; RECORD_LEN + 16]).unwrap();
        let print = [1; 16];
        ahead.note(Nonce { print, created: 5 }).unwrap();
        let (_, read) = Ahead::open(&path, 0).unwrap();
        assert_eq!((read.len(), read.get(&print)), (2, Some(&5)));
    }

    #[test]
    fn a_file_that_cannot_be_shortened_takes_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ahead");
        let (mut ahead, used) = Ahead::open(&path, 0).unwrap();
        // In the way of the new file.
        fs::create_dir(path.with_extension("new")).unwrap();
        ahead.shorten_at = 1;
        let note = |ahead: &mut Ahead, byte| {
            let print = [byte; 16];
            ahead.note(Nonce { print, created: 5 }).unwrap();
        };
        note(&mut ahead, 1);
        assert!(ahead.is_long());
        ahead.shorten(&used);
        assert!(!ahead.is_long(), "it is not tried each time");
        note(&mut ahead, 2);
        let (_, read) = Ahead::open(&path, 0).unwrap_or_else(|_| panic!());
        assert_eq!(read.len(), 2);
    }
}
