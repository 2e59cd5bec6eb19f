use std::collections::BTreeSet;
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
/// More links than any path has.
const LINKS_MAX: usize = 40;
/// How often a file is looked at where the system does not tell of changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often where it does: of what another machine writes to a network's file system it does not know.
const LOOK_ANYHOW: Duration = Duration::from_secs(5 * 60);

/// Tells when one of some files may have changed.
///
/// The directories are watched, not the files: a new one is put in its place by rename, or by another
/// link further up.
#[derive(Debug)]
pub(crate) struct Watch {
    told: Arc<Notify>,
    dirs: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches `paths`, which may be links or not be there yet.
    pub(crate) fn start<P: AsRef<Path>>(paths: &[P]) -> Self {
        let told = Arc::<Notify>::default();
        let warn = |error: &notify::Error| {
            let files: Vec<_> = paths.iter().map(AsRef::as_ref).collect();
            tracing::warn!(
                %error, ?files,
                "the system does not tell of changes; these files are looked at every {LOOK_EVERY:?}"
            );
        };
        let dirs = directories_of(paths);
        let watcher = watch(&dirs, Arc::clone(&told)).inspect_err(warn).ok();
        Self {
            told,
            dirs,
            watcher,
        }
    }

    /// Whether the paths still lead through the same directories.
    pub(crate) fn is_current<P: AsRef<Path>>(&self, paths: &[P]) -> bool {
        self.dirs == directories_of(paths)
    }

    /// Waits until it is time to look.
    pub(crate) async fn changed(&self) {
        if self.watcher.is_none() {
            return sleep(LOOK_EVERY).await;
        }
        if timeout(LOOK_ANYHOW, self.told.notified()).await.is_err() {
            return;
        }
        let quiet = async { while timeout(QUIET, self.told.notified()).await.is_ok() {} };
        let _ = timeout(QUIET_MAX, quiet).await;
    }
}

fn watch(dirs: &BTreeSet<PathBuf>, told: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let tell = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            told.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(tell)?;
    for dir in dirs {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
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

fn directories_of<P: AsRef<Path>>(paths: &[P]) -> BTreeSet<PathBuf> {
    let all = paths.iter().flat_map(|path| directories(path.as_ref()));
    all.collect()
}

/// The directories whose entries decide what `path` leads to: that of the file, and those of all
/// links on the way.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..LINKS_MAX {
        found.extend(path.parent().map(Path::to_owned));
        let Some((link, target)) = first_link(&path) else {
            break;
        };
        found.extend(link.parent().map(Path::to_owned));
        path = target;
    }
    found.retain(|dir| dir.is_dir());
    found
}

/// The first link on the way to `path`, and the path with it resolved.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut parts = path.components();
    let mut way = PathBuf::new();
    while let Some(part) = parts.next() {
        way.push(part);
        if let Ok(target) = way.read_link() {
            let resolved = way.parent()?.join(target).join(parts.as_path());
            return Some((way, resolved));
        }
    }
    None
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
        let watch = Watch::start(&[&file]);
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
        let watch = Watch::start(&[dir.join("config.toml")]);
        symlink("2", dir.join("..tmp")).unwrap();
        fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
        assert!(is_told(&watch).await);
    }

    /// As releases are deployed.
    #[tokio::test]
    async fn a_link_further_up_may_be_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for version in ["1", "2"] {
            fs::create_dir_all(dir.join("releases").join(version)).unwrap();
            fs::write(
                dir.join("releases").join(version).join("config.toml"),
                version,
            )
            .unwrap();
        }
        symlink("releases/1", dir.join("current")).unwrap();
        let file = dir.join("current/config.toml");
        let watch = Watch::start(&[&file]);
        assert!(watch.is_current(&[&file]));
        symlink("releases/2", dir.join("next")).unwrap();
        fs::rename(dir.join("next"), dir.join("current")).unwrap();
        assert!(is_told(&watch).await);
        assert!(!watch.is_current(&[&file]));
        let watch = Watch::start(&[&file]);
        fs::write(dir.join("releases/2/config.toml"), "3").unwrap();
        assert!(is_told(&watch).await);
    }

    #[tokio::test]
    async fn to_read_it_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, "a").unwrap();
        let watch = Watch::start(&[&file]);
        fs::read(&file).unwrap();
        let told = timeout(Duration::from_millis(300), watch.changed()).await;
        assert!(told.is_err());
    }
}
