use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::StoreError;
use super::format::{self, Parsed, Salt};
use crate::upload::{Durability, Entry, Header, Record};
use crate::volume::{File, Filesystem, Open};

/// Bytes that the outcome of a hand-off takes at most, as good as always: 64 KiB of an answer, in
/// hex, and its headers.
const OUTCOME_LEN_MAX: u64 = 160 << 10;

/// Creates the log of a new upload with its header. Nothing is flushed: an upload of which no
/// byte was acknowledged may be lost.
pub(super) fn create(
    files: &dyn Filesystem,
    path: &Path,
    header: Arc<Header>,
) -> Result<(), StoreError> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let mut bytes = format::prefix(salt);
    let salt = bound(salt, path);
    format::push_frame(&mut bytes, &salt, 0, &Entry::Created(header)).map_err(io::Error::from)?;
    let file = match files.open(path, Open::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !matches!(read(files, path), Ok(None)) {
                return Err(StoreError::Exists);
            }
            // A create that was cut short; its upload was never answered.
            files.remove(path)?;
            files.open(path, Open::CreateNew)?
        }
        other => other?,
    };
    file.write_all_at(&bytes, 0).map_err(|error| {
        // Nobody was told of this upload: a half-written header helps nobody.
        let _ = files.remove(path);
        StoreError::Write(error)
    })
}

/// Reads a log as it is; `None` when there is none.
pub(super) fn read(files: &dyn Filesystem, path: &Path) -> Result<Option<Record>, StoreError> {
    let Some(file) = existing(files, path, Open::Read)? else {
        return Ok(None);
    };
    let (_, parsed) = parse(file.as_ref(), path)?;
    fold(parsed.entries)
}

/// An open log.
pub(super) struct LogFile {
    file: Arc<dyn File>,
    salt: Salt,
    end: Mutex<End>,
}

struct End {
    len: u64,
    revision: u64,
    /// Whether half a frame stands behind `len`. It is cut by the first append and not by opening:
    /// an opening nobody waits for any more must not touch a log that another one appends to.
    /// The same after a write that failed.
    torn: bool,
}

impl LogFile {
    /// Reads a log and gets ready to append; `None` when there is none.
    pub(super) fn open(
        files: &dyn Filesystem,
        path: &Path,
    ) -> Result<Option<(Record, Self)>, StoreError> {
        let Some(file) = existing(files, path, Open::Write)? else {
            return Ok(None);
        };
        let mut opened = Self::over(&file, path)?;
        if opened
            .as_ref()
            .is_some_and(|(record, _)| is_unflushed(record))
        {
            // What an earlier process wrote may be in the cache only, and after an error of the
            // disk the cache may show what the disk never got.
            file.flush().map_err(StoreError::Write)?;
            if let Some(dir) = path.parent() {
                files.flush_dir(dir).map_err(StoreError::Write)?;
            }
            file.forget_cache();
            opened = Self::over(&file, path)?;
        }
        Ok(opened)
    }

    fn over(file: &Arc<dyn File>, path: &Path) -> Result<Option<(Record, Self)>, StoreError> {
        let (salt, Parsed { entries, len, .. }) = parse(file.as_ref(), path)?;
        let Some(record) = fold(entries)? else {
            return Ok(None);
        };
        let torn = file.len()? > len;
        let end = Mutex::new(End {
            len,
            torn,
            revision: record.revision,
        });
        let file = Arc::clone(file);
        Ok(Some((record, Self { file, salt, end })))
    }

    pub(super) fn file(&self) -> Arc<dyn File> {
        Arc::clone(&self.file)
    }

    /// Adds entries behind `revision`.
    pub(super) fn append(&self, revision: u64, entries: &[Entry]) -> Result<(), StoreError> {
        // No code that holds the lock can leave a half-made change behind.
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.revision != revision {
            return Err(StoreError::Conflict);
        }
        let mut bytes = Vec::new();
        for entry in entries {
            format::push_frame(&mut bytes, &self.salt, end.len, entry).map_err(io::Error::from)?;
        }
        if end.torn {
            self.file.set_len(end.len).map_err(StoreError::Write)?;
            end.torn = false;
        }
        if entries.iter().any(begins) {
            // Whatever the handler does can then be put on record, and need not be asked again.
            let behind = end.len + bytes.len() as u64;
            let reserved = self.file.reserve(behind, OUTCOME_LEN_MAX);
            reserved.map_err(StoreError::Write)?;
        }
        if let Err(error) = self.file.write_all_at(&bytes, end.len) {
            // Half a frame must not be left for later ones to stand behind.
            end.torn = self.file.set_len(end.len).is_err();
            return Err(StoreError::Write(error));
        }
        end.len += bytes.len() as u64;
        end.revision += entries.len() as u64;
        if entries.iter().any(ends) {
            // Gives back what was reserved behind the end and not needed.
            let _ = self.file.set_len(end.len);
        }
        Ok(())
    }
}

fn begins(entry: &Entry) -> bool {
    matches!(entry, Entry::HandoffBegun { .. })
}

fn ends(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::HandoffEnded { .. } | Entry::HandoffFailed { .. }
    )
}

fn is_unflushed(record: &Record) -> bool {
    record.header.durability == Durability::Power && !record.is_proven
}

fn existing(files: &dyn Filesystem, path: &Path, how: Open) -> io::Result<Option<Arc<dyn File>>> {
    match files.open(path, how) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn bound(salt: Salt, path: &Path) -> Salt {
    let name = path.file_name().unwrap_or_default();
    format::bind(salt, name.as_encoded_bytes())
}

fn parse(file: &dyn File, path: &Path) -> Result<(Salt, Parsed), StoreError> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    // A create that was cut short, by the end of the process or of the machine.
    if bytes.len() < format::PREFIX_LEN || bytes.iter().all(|&byte| byte == 0) {
        return Ok((Salt::default(), Parsed::default()));
    }
    let salt = format::read_prefix(&bytes)
        .ok_or_else(|| StoreError::Damaged("it does not begin as a log does".to_owned()))?;
    let salt = bound(salt, path);
    let parsed = format::parse(&bytes, &salt);
    if parsed.damaged {
        let message = format!("a broken entry at byte {} has others behind it", parsed.len);
        return Err(StoreError::Damaged(message));
    }
    Ok((salt, parsed))
}

/// A log without even its header belongs to a create that was never answered: to no upload.
fn fold(entries: Vec<Entry>) -> Result<Option<Record>, StoreError> {
    if entries.is_empty() {
        return Ok(None);
    }
    let record = Record::replay(entries);
    record
        .map(Some)
        .map_err(|error| StoreError::Damaged(error.to_string()))
}
