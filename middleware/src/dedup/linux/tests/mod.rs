//! On the real filesystem, without a server.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::Saved;
use super::Settings;
use super::inbox::Inbox;
use super::pace::Pace;
use super::worker::Worker;
use crate::config::{Method, Times};

mod cache;
mod index;
mod leftover;
mod linking;
mod swap;
mod tree;
mod working;

/// A directory of files, and what works on it.
struct Rig {
    dir: TempDir,
    settings: Settings,
    saved: Saved,
}

/// The time that all files of a rig have, unless a test says otherwise.
const THEN: SystemTime = SystemTime::UNIX_EPOCH;

impl Rig {
    /// Links files of any time, as soon as they are there.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("files")).unwrap();
        let settings = Settings {
            directory: dir.path().join("files"),
            state_dir: dir.path().join("state"),
            size_max: 1 << 30,
            method: Method::Hardlink,
            times: Times::Keep,
            quiet: Duration::ZERO,
        };
        Self {
            dir,
            settings,
            saved: Saved::default(),
        }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join("files").join(name)
    }

    /// Writes a file, last modified [`THEN`].
    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.set_modified(name, THEN);
        path
    }

    fn set_modified(&self, name: &str, time: SystemTime) {
        let file = fs::File::options().write(true).open(self.path(name));
        file.unwrap().set_modified(time).unwrap();
    }

    fn ino(&self, name: impl AsRef<Path>) -> u64 {
        fs::symlink_metadata(self.path(name)).unwrap().ino()
    }

    /// How many files lie behind these names.
    fn count(&self, names: &[&str]) -> usize {
        let mut all: Vec<_> = names.iter().map(|name| self.ino(name)).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// One that begins like a process that was started.
    fn worker(&self) -> Worker {
        let inbox = Arc::<Inbox>::default();
        Worker::new(self.settings.clone(), self.saved.clone(), inbox)
    }

    /// Starts, works until nothing is left to do, and ends.
    fn work(&self) {
        let mut worker = self.worker();
        while !worker.turn().unwrap() {}
    }

    fn scratch(&self) -> PathBuf {
        let state = self.dir.path().join("state/dedup");
        let swap = fs::read_dir(state).unwrap().flatten();
        let mut swap = swap.filter(|entry| entry.path().is_dir());
        swap.next().unwrap().path()
    }

    /// Nothing of ours is left anywhere.
    fn is_tidy(&self) -> bool {
        let ours = |dir: &Path| {
            let names = fs::read_dir(dir).unwrap().flatten();
            names
                .filter(|entry| {
                    entry
                        .file_name()
                        .to_string_lossy()
                        .starts_with(".steadfast")
                })
                .count()
        };
        ours(&self.scratch()) + ours(&self.path("")) == 0
    }
}

/// One that rests as any other.
fn pace() -> Pace {
    Pace::new(Arc::default())
}
