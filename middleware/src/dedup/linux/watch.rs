use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{
    Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
};

use super::inbox::Inbox;
use super::tree::is_hidden;

/// Puts into the inbox what changes below a directory, for as long as it lives.
#[derive(Debug)]
pub struct Watch(#[expect(dead_code, reason = "held")] RecommendedWatcher);

impl Watch {
    /// Watches `root`, a path without links. What has changed is due after `quiet`.
    ///
    /// # Errors
    /// Those of the system: most of all, that there are more directories than may be watched.
    pub fn start(root: &Path, inbox: &Arc<Inbox>, quiet: Duration) -> notify::Result<Self> {
        let (inbox, prefix) = (Arc::clone(inbox), root.to_owned());
        let told = move |event: notify::Result<Event>| match event {
            Ok(event) if event.need_rescan() => inbox.rescan(),
            Ok(event) => {
                let due = Instant::now() + quiet;
                for path in changed(event, &prefix) {
                    inbox.put(&path, due);
                }
            }
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => inbox.unwatched(),
            // Something was missed, and it is not known what.
            Err(_) => inbox.rescan(),
        };
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(told, config)?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Self(watcher))
    }
}

/// The paths below `root` whose content may be new. Files that are being written are none of them:
/// they come when they are closed.
fn changed(event: Event, root: &Path) -> impl Iterator<Item = PathBuf> {
    let is_new = match event.kind {
        EventKind::Create(_) | EventKind::Any => true,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Modify(ModifyKind::Metadata(_)) => true,
        EventKind::Modify(ModifyKind::Name(mode)) => mode == RenameMode::To,
        _ => false,
    };
    let paths = if is_new { event.paths } else { Vec::new() };
    let below = move |path: PathBuf| {
        let path = path.strip_prefix(root).ok()?;
        let is_ours = !path.as_os_str().is_empty() && !path.iter().any(is_hidden);
        is_ours.then(|| path.to_owned())
    };
    paths.into_iter().filter_map(below)
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, RemoveKind};

    use super::*;

    #[test]
    fn only_what_may_be_whole_is_looked_at() {
        let kinds = [
            (EventKind::Create(CreateKind::File), true),
            (
                EventKind::Access(AccessKind::Close(AccessMode::Write)),
                true,
            ),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), true),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), false),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), false),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
            (EventKind::Remove(RemoveKind::File), false),
        ];
        for (kind, looked_at) in kinds {
            let event = Event::new(kind).add_path("/dir/sub/file".into());
            let found: Vec<_> = changed(event, Path::new("/dir")).collect();
            assert_eq!(found.len(), usize::from(looked_at), "{kind:?}");
            assert!(found.iter().all(|path| path == Path::new("sub/file")));
        }
    }

    #[test]
    fn hidden_names_and_other_places_are_left_out() {
        let paths = ["/dir/.part", "/dir/.sub/file", "/dir", "/other/file"];
        let event = Event::new(EventKind::Create(CreateKind::File));
        let event = paths
            .iter()
            .fold(event, |event, path| event.add_path(path.into()));
        assert_eq!(changed(event, Path::new("/dir")).count(), 0);
    }
}
