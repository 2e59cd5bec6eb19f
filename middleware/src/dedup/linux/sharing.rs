use std::time::{Duration, Instant};

use super::candidate::{Candidate, FileId};
use super::extents;
use super::index::{Entry, Key};
use super::lease;
use super::link::{self, LINKS_MAX};
use super::root::Root;
use super::trouble::Trouble;
use super::worker::Tools;
use crate::config::{Method, Times};

/// A file that is open for writing is tried again; that it is closed is usually told before.
const BUSY_PAUSE: Duration = Duration::from_secs(60);

/// Finds for one file after the other the one that it may share its space with, and sees to it.
pub struct Sharing<'a> {
    pub root: &'a mut Root,
    pub tools: &'a mut Tools,
}

impl Sharing<'_> {
    /// Works on one file.
    ///
    /// # Errors
    /// [`Trouble::Stopped`]; whatever else comes in the way is dealt with.
    pub fn step(mut self, id: FileId) -> Result<(), Trouble> {
        if self.root.unsupported.contains(&id.dev) {
            return Ok(());
        }
        if let Err(trouble) = self.digest(id) {
            return self.note(id, trouble);
        }
        let Some(key) = self.key(id) else {
            return Ok(());
        };
        let keeper = self.root.known.index.keeper(key, id);
        let shares = |id| self.entry(id).is_some_and(|entry| entry.shared);
        let by_reflink = self.tools.settings.method == Method::Reflink;
        if keeper == id || (by_reflink && shares(keeper) && shares(id)) {
            return Ok(());
        }
        self.pair(key, keeper, id)
    }

    fn entry(&self, id: FileId) -> Option<&Entry> {
        self.root.known.index.get(id)
    }

    /// Sees to it that the digest of a file is known.
    fn digest(&mut self, id: FileId) -> Result<(), Trouble> {
        if self.entry(id).is_none_or(|entry| entry.digest.is_some()) {
            return Ok(());
        }
        let file = self.open(id)?;
        if self.tools.settings.method == Method::Reflink {
            extents::probe(&file.file)?;
        }
        lease::check(&file.file)?;
        let digest = file.hash(&mut self.tools.pace)?;
        self.tools.saved.read_one();
        let known = &mut self.root.known;
        if let Some(entry) = known.index.get_mut(id) {
            entry.digest = Some(digest);
            known.cache.put(id, &entry.stamp, &digest, false);
        }
        Ok(())
    }

    /// What files must have in common to share their space.
    fn key(&self, id: FileId) -> Option<Key> {
        let entry = self.entry(id)?;
        let settings = &self.tools.settings;
        let more = match (settings.method, settings.times) {
            (Method::Reflink, _) => None,
            (Method::Hardlink, Times::Keep) => Some((entry.traits, Some(entry.stamp.modified))),
            (Method::Hardlink, Times::Newest) => Some((entry.traits, None)),
        };
        let digest = entry.digest.as_ref()?;
        Some(Key::new(id.dev, entry.stamp.size, digest, more))
    }

    /// Opens a known file by one of its names, as far as it is what is known.
    fn open(&mut self, id: FileId) -> Result<Candidate, Trouble> {
        while let Some(entry) = self.entry(id)
            && let Some(path) = entry.names.first()
        {
            let (path, stamp) = (path.clone(), entry.stamp);
            match self.root.tree.candidate(&path) {
                Ok(file) if file.facts.id == id && file.facts.stamp == stamp => return Ok(file),
                Ok(_) | Err(Trouble::Changed) => {}
                Err(trouble) => return Err(trouble),
            }
            let due = Instant::now() + self.tools.settings.quiet;
            self.tools.inbox.put(&path, due);
            self.root.known.index.forget(id, &path);
        }
        Err(Trouble::Changed)
    }

    /// Lets `id` share the space of `keeper`, or the other way round.
    fn pair(&mut self, key: Key, keeper: FileId, id: FileId) -> Result<(), Trouble> {
        let kept = self.open(keeper).and_then(|file| {
            lease::check(&file.file)?;
            Ok(file)
        });
        let kept = match kept {
            Ok(file) => file,
            Err(trouble) => {
                self.root.known.index.keep(key, id);
                return self.note(keeper, trouble);
            }
        };
        let file = match self.open(id) {
            Ok(file) => file,
            Err(trouble) => return self.note(id, trouble),
        };
        let shared = match self.tools.settings.method {
            Method::Reflink => self.reflink(&kept, &file),
            Method::Hardlink => self.hardlink(key, kept, file),
        };
        match shared {
            Ok(()) => Ok(()),
            Err(Trouble::Changed) => {
                self.note(keeper, Trouble::Changed)?;
                self.note(id, Trouble::Changed)
            }
            Err(trouble) => {
                if let Trouble::Refused(_) = trouble {
                    // It may be because of the other one: further files get another chance.
                    self.root.known.index.keep(key, id);
                }
                self.note(id, trouble)
            }
        }
    }

    fn reflink(&mut self, keeper: &Candidate, file: &Candidate) -> Result<(), Trouble> {
        if !extents::share(keeper, file, &mut self.tools.pace)? {
            return Err(self.differ(keeper, file));
        }
        keeper.check_unchanged()?;
        file.check_unchanged()?;
        self.tools.saved.shared(file.facts.disk);
        let known = &mut self.root.known;
        for id in [keeper.facts.id, file.facts.id] {
            if let Some(entry) = known.index.get_mut(id)
                && !std::mem::replace(&mut entry.shared, true)
                && let Some(digest) = &entry.digest
            {
                known.cache.put(id, &entry.stamp, digest, true);
            }
        }
        Ok(())
    }

    fn hardlink(&mut self, key: Key, kept: Candidate, file: Candidate) -> Result<(), Trouble> {
        // The one with more names keeps them.
        let (keeper, copy) = match file.facts.links > kept.facts.links {
            true => (file, kept),
            false => (kept, file),
        };
        // Names elsewhere are none of our business.
        let is_whole = |file: &Candidate| {
            let names = self
                .entry(file.facts.id)
                .map_or(0, |entry| entry.names.len());
            u32::try_from(names) == Ok(file.facts.links)
        };
        let (may_keep, may_go) = (is_whole(&keeper), is_whole(&copy));
        if !may_keep || keeper.facts.links >= LINKS_MAX {
            self.root.known.index.keep(key, copy.facts.id);
            return Ok(());
        }
        self.root.known.index.keep(key, keeper.facts.id);
        if !may_go {
            return Ok(());
        }
        let [ours, theirs] = [&keeper, &copy].map(link::attributes);
        let (ours, theirs) = (ours?, theirs?);
        if ours != theirs {
            // One that is like no other must not stand in the way of those.
            if theirs.len() < ours.len() {
                self.root.known.index.keep(key, copy.facts.id);
            }
            return Ok(());
        }
        let is_durable = self
            .entry(keeper.facts.id)
            .is_some_and(|entry| entry.durable);
        let Tools { settings, pace, .. } = &mut *self.tools;
        if !link::prepare(&keeper, &copy, is_durable, pace)? {
            return Err(self.differ(&keeper, &copy));
        }
        let Root { tree, scratch, .. } = &*self.root;
        let pair = (&keeper, &copy);
        let linked = pace.piece(|| link::share(tree, scratch, settings.times, pair))?;
        let [kept, left] = linked.ok_or(Trouble::Changed)?;
        if left.links == 0 {
            self.tools.saved.shared(copy.facts.disk);
        }
        let known = &mut self.root.known;
        known.index.moved(&copy.path, &left, &kept);
        for facts in [kept, left] {
            if let Some(entry) = known.index.get_mut(facts.id) {
                entry.durable |= facts.id == kept.id;
                if let Some(digest) = &entry.digest {
                    known.cache.put(facts.id, &facts.stamp, digest, false);
                }
            }
        }
        Ok(())
    }

    /// At least one digest was not that of what is there.
    fn differ(&mut self, one: &Candidate, other: &Candidate) -> Trouble {
        for file in [one, other] {
            if let Some(entry) = self.root.known.index.get_mut(file.facts.id) {
                entry.digest = None;
                entry.shared = false;
            }
        }
        Trouble::Changed
    }

    /// Decides what a trouble with a file means.
    fn note(&mut self, id: FileId, trouble: Trouble) -> Result<(), Trouble> {
        let index = &mut self.root.known.index;
        let pause = match trouble {
            Trouble::Stopped => return Err(Trouble::Stopped),
            Trouble::Busy => BUSY_PAUSE,
            Trouble::Changed => self.tools.settings.quiet,
            Trouble::Refused(error) => {
                let names = index.get(id).map(|entry| &entry.names);
                tracing::debug!(%error, ?names, "a file cannot share its space");
                return Ok(());
            }
            Trouble::Unsupported(why) => {
                self.root.unsupported.insert(id.dev);
                self.warn(why);
                return Ok(());
            }
        };
        index.wait(id);
        for path in index.get(id).iter().flat_map(|entry| &entry.names) {
            self.tools.inbox.put(path, Instant::now() + pause);
        }
        Ok(())
    }

    /// Says once what a filesystem cannot do, and what to do about it.
    fn warn(&mut self, why: &str) {
        if std::mem::replace(&mut self.tools.told_unsupported, true) {
            return;
        }
        let settings = &self.tools.settings;
        let remedy = match settings.method {
            Method::Reflink => {
                "keep them on XFS or Btrfs, or set deduplication.method = \"hardlink\" if stored \
                 files are never written in place"
            }
            Method::Hardlink => "keep them on ext4, XFS or Btrfs",
        };
        tracing::warn!(
            "files of {} with the same content cannot share their space on this filesystem: {why}; \
             {remedy}, or set deduplication.enabled = false",
            settings.directory.display()
        );
    }
}
