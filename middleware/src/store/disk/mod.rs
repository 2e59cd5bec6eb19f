//! A log file per upload: `<key>.log`, mode 0600, beside the bytes.

mod file;
mod format;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use file::LogFile;

use super::{BoxFuture, Listed, Log, Opened, Store, StoreError};
use crate::upload::{Entry, Header, Record, UploadKey};
use crate::volume::{Filesystem, Flush, Volume};

const SUFFIX: &str = ".log";

/// Sessions in a directory.
#[derive(Clone, Debug)]
pub struct Disk {
    dir: Arc<PathBuf>,
    volume: Arc<Volume>,
}

impl Disk {
    /// Keeps logs in `dir`, which exists on `volume` and belongs to this process alone.
    #[must_use]
    pub fn new(dir: PathBuf, volume: Arc<Volume>) -> Self {
        Self {
            dir: Arc::new(dir),
            volume,
        }
    }

    fn path(&self, key: UploadKey) -> PathBuf {
        self.dir.join(format!("{key}{SUFFIX}"))
    }
}

impl Store for Disk {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        let path = self.path(key);
        Box::pin(
            self.volume
                .run(move |files| file::create(files, &path, header)),
        )
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let path = self.path(key);
        Box::pin(self.volume.run(move |files| file::read(files, &path)))
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        let (path, dir, volume) = (
            self.path(key),
            Arc::clone(&self.dir),
            Arc::clone(&self.volume),
        );
        Box::pin(self.volume.run(move |files| {
            let Some((record, file)) = LogFile::open(files, &path)? else {
                return Ok(None);
            };
            let log = Box::new(DiskLog {
                file: Arc::new(file),
                dir,
                volume,
                named: AtomicBool::new(false),
            });
            Ok(Some(Opened { record, log }))
        }))
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        let path = self.path(key);
        Box::pin(self.volume.run(move |files| Ok(files.remove(&path)?)))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        let dir = Arc::clone(&self.dir);
        Box::pin(self.volume.run(move |files| list(files, &dir)))
    }
}

fn list(files: &dyn Filesystem, dir: &Path) -> Result<Vec<Listed>, StoreError> {
    let listed = files.list(dir)?.into_iter().filter_map(|found| {
        let key = found.name.to_str()?.strip_suffix(SUFFIX)?.parse().ok()?;
        let changed = found.modified.into();
        Some(Listed { key, changed })
    });
    Ok(listed.collect())
}

struct DiskLog {
    file: Arc<LogFile>,
    dir: Arc<PathBuf>,
    volume: Arc<Volume>,
    /// Whether the file's name is known to be durable.
    named: AtomicBool,
}

impl Log for DiskLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        let file = Arc::clone(&self.file);
        Box::pin(async move {
            let pace = self.volume.pace();
            if let Some(turn) = pace.turn().await {
                return turn.run(|| file.append(revision, &entries));
            }
            let volume = Arc::clone(&self.volume);
            let append =
                move |_: &dyn Filesystem| volume.pace().time(|| file.append(revision, &entries));
            self.volume.run(append).await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut what = vec![Flush::File(self.file.file())];
            if !self.named.load(Ordering::Relaxed) {
                what.push(Flush::Dir(Arc::clone(&self.dir)));
            }
            self.volume.flush(what).await.map_err(StoreError::Write)?;
            self.named.store(true, Ordering::Relaxed);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
