#![allow(clippy::unwrap_used, reason = "tests")]

mod publication;
mod settling;
mod state_dir;
mod writing;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use tempfile::TempDir;

use super::Local;
use super::publish::{Filesystem, SYSTEM, publish_on};
use crate::blob::{Blob, Blobs as _, OnConflict, Publish};
use crate::upload::tests::sample::key;
use crate::upload::{Durability, FileName, UploadKey};
use crate::volume::Volume;

const NO_LINKS: Filesystem = Filesystem {
    link: |_, _| Err(Errno::PERM.into()),
    ..SYSTEM
};

/// What stands in one directory may be linked there, and not into another.
const TWO_MOUNTS: Filesystem = Filesystem {
    link: |from, to| match from.extension().is_some_and(|suffix| suffix == "data") {
        true => Err(Errno::XDEV.into()),
        false => fs::hard_link(from, to),
    },
    ..SYSTEM
};

const TWO_MOUNTS_NO_RENAME: Filesystem = Filesystem {
    rename: |_, _| Err(Errno::INVAL.into()),
    ..TWO_MOUNTS
};

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
    system: Filesystem,
}

impl Place {
    fn new(what: &'static str, target: TempDir) -> Self {
        let (data, local) = local(1);
        Self {
            what,
            data,
            target,
            local,
            system: SYSTEM,
        }
    }

    /// The same on a filesystem that cannot do as much.
    fn on(self, what: &'static str, system: Filesystem) -> Self {
        Self {
            what,
            system,
            ..self
        }
    }

    /// A target on the filesystem of the uploads, one on another where this machine has one, and
    /// on some that cannot do as much.
    fn all() -> Vec<Self> {
        let near = |what| Self::new(what, tempfile::tempdir().unwrap());
        let poor = [
            near("").on("no links", NO_LINKS),
            near("").on("two mounts", TWO_MOUNTS),
            near("").on("two mounts, no rename", TWO_MOUNTS_NO_RENAME),
        ];
        let near = near("same filesystem");
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        let far = tempfile::tempdir_in("/dev/shm").ok();
        let far = far.filter(|far| device(far.path()) != device(near.data.path()));
        let far = far.map(|far| Self::new("another filesystem", far));
        std::iter::once(near).chain(far).chain(poor).collect()
    }

    /// Upload `number`, whole.
    async fn receive(&self, number: u8, content: &str) -> UploadKey {
        let blob = self.local.open(key(number)).await.unwrap();
        put(blob.as_ref(), 0, content).await;
        key(number)
    }

    async fn publish(&self, key: UploadKey, name: &str, on_conflict: OnConflict) -> Option<String> {
        let name = self.try_publish(self.system, key, name, on_conflict);
        name.unwrap().map(String::from)
    }

    /// Publishes on a filesystem that does as it is told.
    fn try_publish(
        &self,
        system: Filesystem,
        key: UploadKey,
        name: &str,
        on_conflict: OnConflict,
    ) -> io::Result<Option<FileName>> {
        let publish = Publish {
            dir: self.dir(),
            name: FileName::parse(name).unwrap(),
            on_conflict,
            crc: None,
            durable: true,
        };
        let data = self.data.path().join(format!("{key}.data"));
        publish_on(system, &data, key, &publish)
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
            .filter(|(name, _)| name != ".steadfast")
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
