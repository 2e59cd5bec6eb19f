use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::StoreError;
use super::format::{self, Parsed, Salt};
use crate::upload::{Entry, Header, Record};

/// Creates the log of a new upload with its header.
pub(super) fn create(path: &Path, header: Arc<Header>) -> Result<(), StoreError> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let mut bytes = format::prefix(salt);
    format::push_frame(&mut bytes, &salt, 0, &Entry::Created(header)).map_err(io::Error::from)?;
    let file = match options(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !matches!(read(path), Ok(None)) {
                return Err(StoreError::Exists);
            }
            // A create that was cut short; its upload was never answered.
            std::fs::remove_file(path)?;
            options(true).create_new(true).open(path)?
        }
        other => other?,
    };
    file.write_all_at(&bytes, 0).inspect_err(|_| {
        // Nobody was told of this upload: a half-written header helps nobody.
        let _ = std::fs::remove_file(path);
    })?;
    Ok(())
}

/// Reads a log; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Record>, StoreError> {
    let Some(file) = existing(&options(false), path)? else {
        return Ok(None);
    };
    let (_, parsed) = parse(&file)?;
    fold(parsed.entries)
}

/// An open log.
pub(super) struct LogFile {
    file: File,
    salt: Salt,
    end: Mutex<End>,
}

struct End {
    len: u64,
    revision: u64,
    /// Whether half a frame stands behind `len`. It is cut by the first append and not by opening:
    /// an opening nobody waits for any more must not touch a log that another one appends to.
    torn: bool,
    /// Set when the file's end is not known any more.
    broken: bool,
}

impl LogFile {
    /// Reads a log and gets ready to append; `None` when there is none.
    pub(super) fn open(path: &Path) -> Result<Option<(Record, Self)>, StoreError> {
        let Some(file) = existing(&options(true), path)? else {
            return Ok(None);
        };
        let (salt, Parsed { entries, len, .. }) = parse(&file)?;
        let Some(record) = fold(entries)? else {
            return Ok(None);
        };
        let torn = file.metadata()?.len() > len;
        let end = Mutex::new(End {
            len,
            torn,
            revision: record.revision,
            broken: false,
        });
        Ok(Some((record, Self { file, salt, end })))
    }

    /// Adds entries behind `revision`.
    pub(super) fn append(&self, revision: u64, entries: &[Entry]) -> Result<(), StoreError> {
        let mut end = self.end.lock().map_err(|_| broken())?;
        if end.broken {
            return Err(broken());
        }
        if end.revision != revision {
            return Err(StoreError::Conflict);
        }
        let mut bytes = Vec::new();
        for entry in entries {
            format::push_frame(&mut bytes, &self.salt, end.len, entry).map_err(io::Error::from)?;
        }
        if std::mem::take(&mut end.torn) {
            self.file
                .set_len(end.len)
                .inspect_err(|_| end.torn = true)?;
        }
        if let Err(error) = self.file.write_all_at(&bytes, end.len) {
            // Half a frame must not be left for later ones to stand behind.
            end.broken = self.file.set_len(end.len).is_err();
            return Err(error.into());
        }
        end.len += bytes.len() as u64;
        end.revision += entries.len() as u64;
        Ok(())
    }
}

fn broken() -> StoreError {
    io::Error::other("an earlier write to this log failed").into()
}

fn options(write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(write).mode(0o600);
    // A link in the place of a log is nothing of ours.
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn existing(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn parse(mut file: &File) -> Result<(Salt, Parsed), StoreError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if bytes.len() < format::PREFIX_LEN {
        return Ok((
            Salt::default(),
            Parsed {
                entries: Vec::new(),
                len: 0,
                damaged: false,
            },
        ));
    }
    let salt = format::read_prefix(&bytes)
        .ok_or_else(|| StoreError::Damaged("it does not begin as a log does".to_owned()))?;
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
