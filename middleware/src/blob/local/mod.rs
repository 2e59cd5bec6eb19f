//! One sparse file per upload: `<key>.data`, mode 0600, positioned writes.

mod dir;
mod file;
mod publish;
mod staging;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

pub use dir::StateDir;
use file::LocalFile;

use super::contract::{Blob, Blobs, BoxFuture, Publish};
use crate::pace::Pace;
use crate::upload::{FileName, UploadKey};

const SUFFIX: &str = ".data";

/// Bytes in a directory of this machine.
#[derive(Clone, Debug)]
pub struct Local {
    dir: Arc<PathBuf>,
    pace: Arc<Pace>,
}

impl Local {
    /// Keeps bytes in `dir`, which exists and belongs to this process alone.
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

impl Blobs for Local {
    fn open(&self, key: UploadKey) -> BoxFuture<'_, io::Result<Arc<dyn Blob>>> {
        let (path, pace) = (self.path(key), Arc::clone(&self.pace));
        blocking(move || {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600);
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
            let blob: Arc<dyn Blob> = Arc::new(LocalFile::new(options.open(path)?, pace));
            Ok(blob)
        })
    }

    fn list(&self) -> BoxFuture<'_, io::Result<Vec<UploadKey>>> {
        let dir = Arc::clone(&self.dir);
        blocking(move || {
            let mut keys = Vec::new();
            for entry in std::fs::read_dir(dir.as_path())? {
                let name = entry?.file_name();
                let key = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
                keys.extend(key.and_then(|key| key.parse::<UploadKey>().ok()));
            }
            Ok(keys)
        })
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, io::Result<()>> {
        let path = self.path(key);
        blocking(move || staging::remove_if_present(&path))
    }

    fn publish(
        &self,
        key: UploadKey,
        publish: Publish,
    ) -> BoxFuture<'_, io::Result<Option<FileName>>> {
        let path = self.path(key);
        blocking(move || publish::publish(&path, key, &publish))
    }

    fn settle(&self, key: UploadKey, dir: PathBuf) -> BoxFuture<'_, io::Result<()>> {
        let path = self.path(key);
        blocking(move || publish::settle(&path, key, &dir))
    }

    fn free_space(&self) -> BoxFuture<'_, io::Result<Option<u64>>> {
        let dir = Arc::clone(&self.dir);
        blocking(move || {
            let stat = rustix::fs::statvfs(dir.as_path())?;
            Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
        })
    }
}

fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, io::Result<T>> {
    Box::pin(async move {
        let joined = tokio::task::spawn_blocking(work).await;
        joined.unwrap_or_else(|error| Err(io::Error::other(error)))
    })
}

#[cfg(test)]
mod tests;
