use std::collections::HashMap;
use std::fs::{DirBuilder, File as StdFile, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::contract::{File, Filesystem, Found, Open};
use super::write_back;

/// Bytes that may wait to be written on the whole machine while everything is flushed at once:
/// whoever copies gigabytes must not make an acknowledgement wait for them.
const OTHERS_MAX: u64 = 64 << 20;

/// A filesystem of this machine.
#[derive(Debug)]
pub struct System {
    /// Opened before anything is written: `syncfs` tells a descriptor of errors since then.
    root: StdFile,
    /// Whether flushing everything needs one more flush of a file behind it.
    leaves_cache: bool,
    /// Directories that were flushed, kept open: few, and a flush must not need a descriptor that
    /// may be the last one.
    dirs: Mutex<HashMap<PathBuf, Arc<StdFile>>>,
}

impl System {
    /// The filesystem that `dir` is on.
    ///
    /// # Errors
    /// `dir` cannot be opened.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let root = StdFile::open(dir)?;
        let leaves_cache = write_back::leaves_cache(&root);
        Ok(Self {
            root,
            leaves_cache,
            dirs: Mutex::default(),
        })
    }

    /// A directory, opened when it is first asked for, or when another has come in its place.
    fn dir(&self, path: &Path) -> io::Result<Arc<StdFile>> {
        // No code that holds the lock can leave a half-made change behind.
        let mut dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = dirs.get(path)
            && dir.metadata()?.nlink() > 0
        {
            return Ok(Arc::clone(dir));
        }
        let dir = Arc::new(StdFile::open(path)?);
        dirs.insert(path.to_owned(), Arc::clone(&dir));
        Ok(dir)
    }
}

impl Filesystem for System {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(how != Open::Read).mode(0o600);
        options.create(how == Open::Create);
        options.create_new(how == Open::CreateNew);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        Ok(Arc::new(options.open(path)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            // A file that vanishes between the two calls was removed: not an error.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_file() {
                found.push(Found {
                    name: entry.file_name(),
                    modified: metadata.modified()?,
                });
            }
        }
        Ok(found)
    }

    fn flush_dir(&self, dir: &Path) -> io::Result<()> {
        self.dir(dir)?.sync_all()
    }

    fn may_flush_all(&self) -> bool {
        write_back::dirty_bytes().is_some_and(|bytes| bytes < OTHERS_MAX)
    }

    fn flush_all(&self) -> io::Result<()> {
        write_back::flush_filesystem(&self.root)?;
        match self.leaves_cache {
            true => self.root.sync_data(),
            false => Ok(()),
        }
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
}

impl File for StdFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        match write_back::reserve(self, offset, len) {
            // Elsewhere a write finds out.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            other => other,
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn start_write_back(&self, offset: u64, len: u64) {
        write_back::start(self, offset, len);
    }

    fn forget_cache(&self) {
        write_back::forget(self);
    }
}
