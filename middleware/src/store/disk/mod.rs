//! A log file per upload: `<key>.log`, mode 0600, beside the bytes.
//!
//! - `delivering/<key>`, an empty file, stands there while the upload is sealed and has not ended.
//!   It is not flushed: it only lets the next process find those uploads first.
//! - `lost/<key>.log` is the log of an upload that cannot be trusted. Put back with good content
//!   while the server is stopped, it counts again.

mod delivering;
mod file;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use delivering::Mark;
use file::LogFile;

use super::fence::{Fence, Opening, Pass};
use super::{BoxFuture, Listed, Log, Opened, Peers, Store, StoreError};
use crate::upload::{Entry, Header, Record, UploadKey};
use crate::volume::{Filesystem, Flush, Open, Volume};

const SUFFIX: &str = ".log";
const LOST: &str = "lost";

/// Sessions in a directory.
#[derive(Clone, Debug)]
pub struct Disk {
    dir: Arc<PathBuf>,
    volume: Arc<Volume>,
    fence: Fence,
}

impl Disk {
    /// Keeps logs in `dir`, which exists on `volume` and belongs to this process alone.
    #[must_use]
    pub fn new(dir: PathBuf, volume: Arc<Volume>) -> Self {
        Self {
            dir: Arc::new(dir),
            volume,
            fence: Fence::default(),
        }
    }

    fn path(&self, key: UploadKey) -> PathBuf {
        self.dir.join(format!("{key}{SUFFIX}"))
    }

    fn lost_path(&self, key: UploadKey) -> PathBuf {
        self.dir.join(LOST).join(format!("{key}{SUFFIX}"))
    }

    fn mark(&self, key: UploadKey) -> Mark {
        Mark::new(&self.dir, key)
    }

    fn open_log(
        self,
        files: &dyn Filesystem,
        key: UploadKey,
        opening: Opening,
    ) -> Result<Option<Opened>, StoreError> {
        let pass = self.fence.enter(key, opening);
        let opened = LogFile::open(files, &self.path(key));
        if matches!(opened, Err(StoreError::Damaged(_))) {
            self.put_aside(files, key);
        }
        let Some((record, file)) = opened? else {
            return self.check_not_lost(files, key).map(|()| None);
        };
        let mark = self.mark(key);
        let log = Box::new(DiskLog {
            appending: Arc::new(Appending { file, mark, pass }),
            dir: self.dir,
            volume: self.volume,
            named: AtomicBool::new(false),
        });
        Ok(Some(Opened { record, log }))
    }

    fn remove_all(&self, files: &dyn Filesystem, key: UploadKey) -> io::Result<()> {
        self.mark(key).remove(files)?;
        files.remove(&self.lost_path(key))?;
        files.remove(&self.path(key))
    }

    /// Keeps a log that cannot be trusted out of the way. Where that fails it is found anew.
    fn put_aside(&self, files: &dyn Filesystem, key: UploadKey) {
        let put = || -> io::Result<()> {
            files.create_dir(&self.dir.join(LOST))?;
            files.rename(&self.path(key), &self.lost_path(key))?;
            self.mark(key).remove(files)
        };
        if let Err(error) = put() {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%key, error, "the log of an upload that is lost cannot be put aside");
        }
    }

    /// Whether an upload without a log has one that was put aside.
    fn check_not_lost(&self, files: &dyn Filesystem, key: UploadKey) -> Result<(), StoreError> {
        match files.open(&self.lost_path(key), Open::Read) {
            Ok(_) => Err(StoreError::Lost),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn list_all(&self, files: &dyn Filesystem) -> Result<Vec<Listed>, StoreError> {
        let mut all = list(files, &self.dir)?;
        let lost = unless_absent(list(files, &self.dir.join(LOST)))?;
        if !lost.is_empty() {
            // What was created anew is no longer lost.
            let present: HashSet<_> = all.iter().map(|upload| upload.key).collect();
            all.extend(lost.into_iter().filter(|one| !present.contains(&one.key)));
        }
        Ok(all)
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
        let this = self.clone();
        Box::pin(
            self.volume
                .run(move |files| match file::read(files, &this.path(key))? {
                    None => this.check_not_lost(files, key).map(|()| None),
                    found => Ok(found),
                }),
        )
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        let (this, opening) = (self.clone(), self.fence.ask());
        let open = move |files: &dyn Filesystem| this.open_log(files, key, opening);
        Box::pin(self.volume.run(open))
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        let this = self.clone();
        Box::pin(self.volume.run(move |files| {
            let remove = || this.remove_all(files, key);
            Ok(this.fence.shut(key, remove)?)
        }))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        let this = self.clone();
        Box::pin(self.volume.run(move |files| this.list_all(files)))
    }

    fn delivering(&self) -> BoxFuture<'_, Result<Vec<UploadKey>, StoreError>> {
        let dir = Arc::clone(&self.dir);
        Box::pin(self.volume.run(move |files| delivering::list(files, &dir)))
    }

    fn delivered(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        let mark = self.mark(key);
        Box::pin(self.volume.run(move |files| Ok(mark.remove(files)?)))
    }

    fn peers(&self) -> Option<&dyn Peers> {
        None
    }
}

/// The uploads whose logs are in `dir`.
fn list(files: &dyn Filesystem, dir: &Path) -> Result<Vec<Listed>, StoreError> {
    let listed = files.list(dir)?.into_iter().filter_map(|found| {
        let key = found.name.to_str()?.strip_suffix(SUFFIX)?.parse().ok()?;
        let changed = found.modified.into();
        Some(Listed { key, changed })
    });
    Ok(listed.collect())
}

/// Nothing, where there is no such directory yet.
fn unless_absent<T: Default>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    match result {
        Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

struct DiskLog {
    appending: Arc<Appending>,
    dir: Arc<PathBuf>,
    volume: Arc<Volume>,
    /// Whether the file's name is known to be durable.
    named: AtomicBool,
}

struct Appending {
    file: LogFile,
    mark: Mark,
    pass: Pass,
}

impl Appending {
    fn append(
        &self,
        files: &dyn Filesystem,
        revision: u64,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        self.pass.write(|| {
            self.mark.before(files, entries);
            self.file.append(revision, entries)?;
            self.mark.after(files, entries);
            Ok(())
        })
    }
}

impl Log for DiskLog {
    fn append(&self, revision: u64, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), StoreError>> {
        let appending = Arc::clone(&self.appending);
        Box::pin(async move {
            if let Some(turn) = self.volume.pace().turn().await {
                return turn.run(|| appending.append(self.volume.files(), revision, &entries));
            }
            let volume = Arc::clone(&self.volume);
            let append = move |files: &dyn Filesystem| {
                let append = || appending.append(files, revision, &entries);
                volume.pace().time(append)
            };
            self.volume.run(append).await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut what = vec![Flush::File(self.appending.file.file())];
            if !self.named.load(Ordering::Relaxed) {
                what.push(Flush::Dir(Arc::clone(&self.dir)));
            }
            self.volume
                .flush(what, None)
                .await
                .map_err(StoreError::Write)?;
            self.named.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    fn publish(&self, _: &Record, _: &[Entry]) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests;
