use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Editors write in several steps: what follows within this time belongs together.
const QUIET: Duration = Duration::from_millis(200);
/// Steps that never end are looked at meanwhile.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How often a file is looked at where the system does not tell of changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Tells when a file may have changed.
///
/// The directories are watched, not the file: a new one is put in its place by rename, or by another
/// link further up.
#[derive(Debug)]
pub(crate) struct Watch {
    told: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches `path`, which may be a link or not be there yet.
    pub(crate) fn start(path: &Path) -> Self {
        let told = Arc::<Notify>::default();
        let warn = |error: &notify::Error| {
            tracing::warn!(
                %error, file = %path.display(),
                "the system does not tell of changes; the file is looked at every {LOOK_EVERY:?}"
            );
        };
        let watcher = watch(path, Arc::clone(&told)).inspect_err(warn).ok();
        Self { told, watcher }
    }

    /// Waits until it is time to look.
    pub(crate) async fn changed(&self) {
        if self.watcher.is_none() {
            return sleep(LOOK_EVERY).await;
        }
        self.told.notified().await;
        let quiet = async { while timeout(QUIET, self.told.notified()).await.is_ok() {} };
        let _ = timeout(QUIET_MAX, quiet).await;
    }
}

fn watch(path: &Path, told: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let tell = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            told.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(tell)?;
    for dir in directories(path)? {
        watcher.watch(&dir, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Whether a file may be another one now. To look at it is an event as well.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Where `path` is, and where what it leads to is.
fn directories(path: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let path = std::path::absolute(path)?;
    let real = path.canonicalize().ok();
    let paths = [Some(path), real].into_iter().flatten();
    Ok(paths
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    async fn is_told(watch: &Watch) -> bool {
        timeout(Duration::from_secs(5), watch.changed())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn every_way_to_replace_a_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let file = dir.join("config.toml");
        let watch = Watch::start(&file);
        fs::write(&file, "a").unwrap();
        assert!(is_told(&watch).await, "made");
        fs::write(&file, "b").unwrap();
        assert!(is_told(&watch).await, "written");
        fs::write(dir.join("new"), "c").unwrap();
        assert!(is_told(&watch).await);
        fs::rename(dir.join("new"), &file).unwrap();
        assert!(is_told(&watch).await, "renamed");
        fs::remove_file(&file).unwrap();
        assert!(is_told(&watch).await, "removed");
    }

    /// As Kubernetes replaces the files of a volume.
    #[tokio::test]
    async fn a_link_to_a_directory_may_be_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for version in ["1", "2"] {
            fs::create_dir(dir.join(version)).unwrap();
            fs::write(dir.join(version).join("config.toml"), version).unwrap();
        }
        symlink("1", dir.join("..data")).unwrap();
        symlink("..data/config.toml", dir.join("config.toml")).unwrap();
        let watch = Watch::start(&dir.join("config.toml"));
        symlink("2", dir.join("..tmp")).unwrap();
        fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
        assert!(is_told(&watch).await);
    }

    #[tokio::test]
    async fn to_read_it_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, "a").unwrap();
        let watch = Watch::start(&file);
        fs::read(&file).unwrap();
        let told = timeout(Duration::from_millis(300), watch.changed()).await;
        assert!(told.is_err());
    }
}
