use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::StoreError;
use super::unless_absent;
use crate::upload::{Entry, UploadKey};
use crate::volume::{Filesystem, Open};

const DIR: &str = "delivering";

/// The uploads that have a mark.
pub(super) fn list(files: &dyn Filesystem, dir: &Path) -> Result<Vec<UploadKey>, StoreError> {
    let found = files.list(&dir.join(DIR)).map_err(StoreError::from);
    let found = unless_absent(found)?;
    let keys = found.iter().map(|found| found.name.to_str()?.parse().ok());
    Ok(keys.flatten().collect())
}

/// Says that an upload is sealed and has not ended.
pub(super) struct Mark {
    key: UploadKey,
    path: PathBuf,
    /// Whether it is known to be there.
    made: AtomicBool,
}

impl Mark {
    pub(super) fn new(dir: &Path, key: UploadKey) -> Self {
        Self {
            key,
            path: dir.join(DIR).join(key.to_string()),
            made: AtomicBool::new(false),
        }
    }

    /// Makes the mark where one of the entries asks for it. Without it an upload is found later,
    /// so that nothing fails for it.
    pub(super) fn before(&self, files: &dyn Filesystem, entries: &[Entry]) {
        if !entries.iter().any(is_begin) || self.made.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.make(files) {
            tracing::debug!(key = %self.key, %error, "an upload is handed over without a mark");
        }
    }

    /// Removes the mark where the last word of the entries is that it is not due any more.
    pub(super) fn after(&self, files: &dyn Filesystem, entries: &[Entry]) {
        let last = entries
            .iter()
            .rfind(|entry| is_begin(entry) || is_end(entry));
        if !last.is_some_and(is_end) {
            return;
        }
        if let Err(error) = self.remove(files) {
            tracing::debug!(key = %self.key, %error, "the mark of an upload stays behind");
        }
    }

    pub(super) fn remove(&self, files: &dyn Filesystem) -> io::Result<()> {
        self.made.store(false, Ordering::Relaxed);
        files.remove(&self.path)
    }

    fn make(&self, files: &dyn Filesystem) -> io::Result<()> {
        match files.open(&self.path, Open::Create) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(dir) = self.path.parent() {
                    files.create_dir(dir)?;
                }
                files.open(&self.path, Open::Create).map(|_| ())
            }
            other => other.map(|_| ()),
        }
    }
}

fn is_begin(entry: &Entry) -> bool {
    matches!(entry, Entry::Sealed { .. } | Entry::HandoffBegun { .. })
}

fn is_end(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::HandoffEnded { .. }
            | Entry::DigestMismatch { .. }
            | Entry::Cancelled { .. }
            | Entry::Withdrawn { .. }
    )
}
