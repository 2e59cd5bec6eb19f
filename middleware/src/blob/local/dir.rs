use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// What tells a directory of ours.
const LOCK: &str = "lock";
const TRY_EVERY: Duration = Duration::from_millis(5);

/// The directory of one process: mode 0700, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    is_new: bool,
    _lock: File,
}

impl StateDir {
    /// Makes the directory where there is none and locks it, waiting up to `wait` for another
    /// process that is about to end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process keeps the lock.
    pub async fn open(path: &Path, wait: Duration) -> io::Result<Self> {
        make(path)?;
        check_ours(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
        let is_new = !path.join(LOCK).exists();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join(LOCK))?;
        let deadline = Instant::now() + wait;
        let mut told = false;
        while let Err(error) = lock.try_lock() {
            match error {
                TryLockError::Error(error) => return Err(error),
                TryLockError::WouldBlock if Instant::now() >= deadline => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                TryLockError::WouldBlock => {}
            }
            if !std::mem::replace(&mut told, true) {
                let dir = path.display();
                tracing::warn!(?wait, "another process uses {dir}; waiting for it to end");
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        Ok(Self {
            path: path.to_owned(),
            is_new,
            _lock: lock,
        })
    }

    /// Makes a directory in it for bytes whose sessions end with this process, apart from those
    /// that outlive it: an absent session means nothing there.
    ///
    /// # Errors
    /// Those of the filesystem.
    pub fn volatile(&self) -> io::Result<PathBuf> {
        let path = self.path.join("volatile");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)?;
        Ok(path)
    }

    /// Whether no process had it before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a directory, and makes durable that there is one: a flush of what is in it does not.
fn make(path: &Path) -> io::Result<()> {
    let changed: Vec<_> = parents_of_missing(path).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    changed
        .into_iter()
        .try_for_each(|dir| File::open(dir)?.sync_all())
}

/// The directories that get a new name when `path` is made.
fn parents_of_missing(path: &Path) -> impl Iterator<Item = &Path> {
    let missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing = path.ancestors().take_while(missing);
    missing.filter_map(Path::parent).map(|parent| {
        if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        }
    })
}

/// Refuses a directory that holds other things than ours: closing it to everybody else may be the
/// last thing its owner wants.
fn check_ours(path: &Path) -> io::Result<()> {
    let is_ours = path.join(LOCK).exists() || fs::read_dir(path)?.next().is_none();
    if is_ours {
        return Ok(());
    }
    let message = "it exists and holds other files; name one of its own";
    Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_that_gets_a_new_name_is_flushed() {
        let dir = tempfile::tempdir().unwrap();
        let parents = |path: &str| -> Vec<PathBuf> {
            let path = dir.path().join(path);
            parents_of_missing(&path).map(Path::to_owned).collect()
        };
        assert_eq!(parents("a"), [dir.path()]);
        let below = |path| dir.path().join(path);
        assert_eq!(parents("a/b/c"), [below("a/b"), below("a"), below("")]);
        make(&below("a")).unwrap();
        assert_eq!(parents("a"), [""; 0].map(PathBuf::from));
        assert_eq!(parents("a/b"), [below("a")]);
        let relative: Vec<_> = parents_of_missing(Path::new("no such/state")).collect();
        assert_eq!(relative, [Path::new("no such"), Path::new(".")]);
    }
}
