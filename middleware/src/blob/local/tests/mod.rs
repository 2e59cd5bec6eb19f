#![allow(clippy::unwrap_used, reason = "tests")]

mod publication;
mod settling;
mod state_dir;
mod writing;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::Local;
use crate::blob::{Blob, Blobs as _, OnConflict, Publish};
use crate::upload::tests::sample::key;
use crate::upload::{Durability, FileName, UploadKey};
use crate::volume::Volume;

/// Bytes in a directory of their own.
fn local(inline_max: usize) -> (TempDir, Local) {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::new(
        dir.path().to_owned(),
        Volume::test(dir.path(), inline_max),
        Durability::Power,
    );
    (dir, local)
}

/// Writes in whichever way is open now.
async fn put(blob: &dyn Blob, offset: u64, content: &str) {
    let bytes = || Bytes::copy_from_slice(content.as_bytes());
    match blob.write_now(offset, content.as_bytes()) {
        Some(written) => written.unwrap(),
        None => blob.write(offset, bytes(), Arc::new(())).await.unwrap(),
    }
}

/// Uploads, and a directory to publish them in.
struct Place {
    what: &'static str,
    data: TempDir,
    target: TempDir,
    local: Local,
}

impl Place {
    fn new(what: &'static str, target: TempDir) -> Self {
        let (data, local) = local(1);
        Self {
            what,
            data,
            target,
            local,
        }
    }

    /// A target on the filesystem of the uploads, and one on another where this machine has one.
    fn all() -> Vec<Self> {
        let near = Self::new("same filesystem", tempfile::tempdir().unwrap());
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        let far = tempfile::tempdir_in("/dev/shm").ok();
        let far = far.filter(|far| device(far.path()) != device(near.data.path()));
        let far = far.map(|far| Self::new("another filesystem", far));
        std::iter::once(near).chain(far).collect()
    }

    /// Upload `number`, whole.
    async fn receive(&self, number: u8, content: &str) -> UploadKey {
        let blob = self.local.open(key(number)).await.unwrap();
        put(blob.as_ref(), 0, content).await;
        key(number)
    }

    async fn publish(&self, key: UploadKey, name: &str, on_conflict: OnConflict) -> Option<String> {
        let name = FileName::parse(name).unwrap();
        let publish = Publish {
            dir: self.dir(),
            name,
            on_conflict,
        };
        let name = self.local.publish(key, publish).await.unwrap();
        name.map(String::from)
    }

    async fn settle(&self, key: UploadKey) {
        self.local.settle(key, self.dir()).await.unwrap();
    }

    fn dir(&self) -> PathBuf {
        self.target.path().to_owned()
    }

    fn put(&self, name: &str, content: &str) {
        fs::write(self.target.path().join(name), content).unwrap();
    }

    /// The files there are, without our own names for them.
    fn files(&self) -> Vec<(String, String)> {
        self.everything()
            .into_iter()
            .filter(|(name, _)| !name.ends_with(".part"))
            .collect()
    }

    /// The files there are.
    fn everything(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.target.path()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let content = fs::read_to_string(entry.path()).unwrap_or_default();
                (entry.file_name().into_string().unwrap(), content)
            })
            .collect();
        files.sort();
        files
    }

    fn data_files(&self) -> usize {
        fs::read_dir(self.data.path()).unwrap().count()
    }
}

fn files(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut files: Vec<_> = expected
        .iter()
        .map(|&(name, content)| (name.to_owned(), content.to_owned()))
        .collect();
    files.sort();
    files
}
