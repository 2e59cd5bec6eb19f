//! A log file per upload: `<key>.log`, mode 0600, beside the bytes.

mod file;
mod format;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use file::LogFile;

use super::{BoxFuture, Listed, Log, Opened, Store, StoreError};
use crate::pace::Pace;
use crate::upload::{Entry, Header, Record, UploadKey};

const SUFFIX: &str = ".log";

/// Sessions in a directory.
#[derive(Clone, Debug)]
pub struct Disk {
    dir: Arc<PathBuf>,
    pace: Arc<Pace>,
}

impl Disk {
    /// Keeps logs in `dir`, which exists and belongs to this process alone.
    #[must_use]
    pub fn new(dir: PathBuf, pace: Arc<Pace>) -> Self {
        Self {
            dir: Arc::new(dir),
            pace,
        }
    }

    fn path(&self, key: UploadKey) -> PathBuf {
        self.dir.join(format!("{key}{SUFFIX}"))
    }
}

impl Store for Disk {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        let path = self.path(key);
        blocking(move || file::create(&path, header))
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let path = self.path(key);
        blocking(move || file::read(&path))
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        let (path, pace) = (self.path(key), Arc::clone(&self.pace));
        blocking(move || {
            let Some((record, file)) = LogFile::open(&path)? else {
                return Ok(None);
            };
            let log = Box::new(DiskLog {
                file: Arc::new(file),
                pace,
            });
            Ok(Some(Opened { record, log }))
        })
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        let path = self.path(key);
        blocking(move || match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        let dir = Arc::clone(&self.dir);
        blocking(move || list(&dir))
    }
}

fn list(dir: &Path) -> Result<Vec<Listed>, StoreError> {
    let mut listed = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let key = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
        // A log that vanishes between the two calls was removed: not an error.
        if let (Some(key), Ok(metadata)) = (key, entry.metadata()) {
            listed.push(Listed {
                key,
                changed: metadata.modified()?.into(),
            });
        }
    }
    Ok(listed)
}

struct DiskLog {
    file: Arc<LogFile>,
    pace: Arc<Pace>,
}

impl Log for DiskLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        let (file, pace) = (Arc::clone(&self.file), Arc::clone(&self.pace));
        Box::pin(async move {
            if let Some(turn) = pace.turn().await {
                return turn.run(|| file.append(revision, &entries));
            }
            blocking(move || pace.time(|| file.append(revision, &entries))).await
        })
    }
}

fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(async move {
        let joined = tokio::task::spawn_blocking(work).await;
        joined.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    })
}

#[cfg(test)]
mod tests;
