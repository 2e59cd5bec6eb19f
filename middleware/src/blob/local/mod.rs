//! One sparse file per upload: `<key>.data`, mode 0600, positioned writes.

mod dir;
mod file;
mod publish;
mod staging;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use dir::StateDir;
use file::LocalFile;

use super::contract::{Blob, Blobs, BoxFuture, Publish};
use crate::upload::{Durability, FileName, UploadKey};
use crate::volume::{Open, Volume};

const SUFFIX: &str = ".data";

/// What a worker flushes at the same time: the bytes of a chunk, and the log.
const FILES_OF_WORKER: usize = 2;

/// Bytes in a directory of this machine.
#[derive(Clone, Debug)]
pub struct Local {
    dir: Arc<PathBuf>,
    volume: Arc<Volume>,
    durability: Durability,
}

impl Local {
    /// Keeps bytes in `dir`, which exists on `volume` and belongs to this process alone; with
    /// [`Durability::Power`] writing to the disk begins early.
    #[must_use]
    pub fn new(dir: PathBuf, volume: Arc<Volume>, durability: Durability) -> Self {
        Self {
            dir: Arc::new(dir),
            volume,
            durability,
        }
    }

    fn path(&self, key: UploadKey) -> PathBuf {
        self.dir.join(format!("{key}{SUFFIX}"))
    }
}

impl Blobs for Local {
    fn open(&self, key: UploadKey) -> BoxFuture<'_, io::Result<Arc<dyn Blob>>> {
        let (path, this) = (self.path(key), self.clone());
        Box::pin(self.volume.run(move |files| {
            let file = files.open(&path, Open::Create)?;
            let early = this.durability == Durability::Power;
            let blob: Arc<dyn Blob> = Arc::new(LocalFile::new(file, this.dir, this.volume, early));
            Ok(blob)
        }))
    }

    fn list(&self) -> BoxFuture<'_, io::Result<Vec<UploadKey>>> {
        let dir = Arc::clone(&self.dir);
        Box::pin(self.volume.run(move |files| {
            let found = files.list(&dir)?;
            let keys = found
                .iter()
                .filter_map(|found| found.name.to_str()?.strip_suffix(SUFFIX)?.parse().ok());
            Ok(keys.collect())
        }))
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, io::Result<()>> {
        let path = self.path(key);
        Box::pin(self.volume.run(move |files| files.remove(&path)))
    }

    fn publish(
        &self,
        key: UploadKey,
        publish: Publish,
    ) -> BoxFuture<'_, io::Result<Option<FileName>>> {
        let path = self.path(key);
        Box::pin(
            self.volume
                .run(move |_| publish::publish(&path, key, &publish)),
        )
    }

    fn settle(&self, key: UploadKey, dir: PathBuf) -> BoxFuture<'_, io::Result<()>> {
        let path = self.path(key);
        Box::pin(self.volume.run(move |_| publish::settle(&path, key, &dir)))
    }

    fn employ(&self, workers: usize) {
        self.volume.employ(workers.saturating_mul(FILES_OF_WORKER));
    }

    fn free_space(&self) -> BoxFuture<'_, io::Result<Option<u64>>> {
        let dir = Arc::clone(&self.dir);
        Box::pin(self.volume.run(move |files| files.free_space(&dir)))
    }
}

#[cfg(test)]
mod tests;
