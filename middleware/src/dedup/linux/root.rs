use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::FileType;

use super::Settings;
use super::cache::Cache;
use super::candidate::Facts;
use super::inbox::Inbox;
use super::index::Index;
use super::leftover;
use super::link::Scratch;
use super::swap::print;
use super::tree::Tree;
use super::trouble::Trouble;
use super::watch::Watch;
use super::worker::Tools;

/// Between two looks at everything where changes are reported; they may get lost, as on a
/// filesystem that another machine changes.
const SCAN_EVERY: Duration = Duration::from_secs(60 * 60);
/// The same where they are not reported.
const SCAN_EVERY_UNWATCHED: Duration = Duration::from_secs(5 * 60);
/// The same when something was missed.
const SCAN_AGAIN: Duration = Duration::from_secs(10);
/// Why not all directories can be watched.
const TOO_MANY: &str = "there are more directories than fs.inotify.max_user_watches";
/// How many times as long as it takes a look at everything is put off at least.
const SCAN_SHARE: u32 = 20;

/// The directory as it is there now, and what is known of it.
#[derive(Debug)]
pub struct Root {
    pub tree: Tree,
    pub known: Known,
    pub scratch: Scratch,
    /// Filesystems that cannot do what is asked for.
    pub unsupported: HashSet<u64>,
    watch: Option<Watch>,
    scan_at: Instant,
    /// When the last one ended, and how long it took.
    scanned: Option<(Instant, Duration)>,
}

/// What is known of the files, and what an earlier process knew.
#[derive(Debug)]
pub struct Known {
    pub index: Index,
    pub cache: Cache,
}

impl Known {
    /// Takes note of a file, now or when it has been quiet for long enough.
    fn see(&mut self, path: &Path, facts: &Facts, settings: &Settings, inbox: &Inbox) {
        if !facts.is_file() || !(1..=settings.size_max).contains(&facts.stamp.size) {
            return;
        }
        // Without an age the clock has been set: that nobody writes to it is found out later.
        let age = facts.stamp.age().unwrap_or(settings.quiet);
        let rest = settings.quiet.saturating_sub(age);
        // What is known to be as it was then has not changed since, whatever its time says.
        if rest.is_zero() || self.index.knows(facts) || self.cache.knows(facts) {
            let known = || self.cache.take(facts);
            self.index.see(path, facts, known);
        } else {
            self.cache.defer(facts.id);
            inbox.put(path, Instant::now() + rest);
        }
    }
}

impl Root {
    /// Opens the directory and begins to watch it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(settings: &Settings) -> io::Result<Self> {
        let tree = Tree::open(&settings.directory)?;
        let state = settings.state_dir.join("dedup");
        let cache = Cache::open(&state);
        // Of its own for each directory: what was left behind belongs to one alone.
        let scratch = Scratch::open(state.join(format!("swap-{:016x}", print(tree.path()))));
        Ok(Self {
            tree,
            known: Known {
                index: Index::default(),
                cache,
            },
            scratch,
            unsupported: HashSet::new(),
            watch: None,
            scan_at: Instant::now(),
            scanned: None,
        })
    }

    /// Looks at what is at `path` now.
    ///
    /// # Errors
    /// [`Trouble::Stopped`].
    pub fn visit(&mut self, path: &Path, tools: &mut Tools) -> Result<(), Trouble> {
        let Tools {
            settings,
            inbox,
            pace,
            ..
        } = tools;
        let found = pace.piece(|| Ok::<_, Trouble>(self.tree.spot(path).and_then(|s| s.facts())));
        let Ok(facts) = found? else { return Ok(()) };
        let known = &mut self.known;
        if facts.kind == FileType::Directory {
            // It may have been moved here with all its files.
            self.tree.walk(path, pace, |path, facts| {
                known.see(path, facts, settings, inbox);
            })?;
        } else {
            known.see(path, &facts, settings, inbox);
        }
        Ok(())
    }

    /// Looks at everything, when it is time or something was missed.
    ///
    /// # Errors
    /// [`Trouble::Stopped`].
    pub fn scan_when_due(&mut self, tools: &mut Tools) -> Result<(), Trouble> {
        if tools.inbox.take_unwatched() && self.watch.take().is_some() {
            self.warn_unwatched(&TOO_MANY);
        }
        if let Some((ended, took)) = self.scanned
            && tools.inbox.take_rescan()
        {
            let again = ended + SCAN_AGAIN.max(took * SCAN_SHARE);
            self.scan_at = self.scan_at.min(again);
        }
        let begun = Instant::now();
        if begun < self.scan_at {
            return Ok(());
        }
        self.watch(&tools.settings, &tools.inbox);
        self.scan(tools)?;
        let took = begun.elapsed();
        let every = match self.watch {
            Some(_) => SCAN_EVERY,
            None => SCAN_EVERY_UNWATCHED,
        };
        self.scan_at = Instant::now() + every.max(took * SCAN_SHARE);
        self.scanned = Some((Instant::now(), took));
        let files = self.known.index.len();
        tracing::debug!(files, ?took, "deduplication looked at everything");
        Ok(())
    }

    /// Begins to watch, before everything is looked at, so that nothing falls in between.
    fn watch(&mut self, settings: &Settings, inbox: &Arc<Inbox>) {
        if self.watch.is_some() {
            return;
        }
        match Watch::start(self.tree.path(), inbox, settings.quiet) {
            Ok(watch) => self.watch = Some(watch),
            Err(_) if self.scanned.is_some() => {}
            Err(error) => self.warn_unwatched(&error),
        }
    }

    fn warn_unwatched(&self, why: &dyn Display) {
        tracing::warn!(
            "deduplication cannot watch {} and looks through it every {SCAN_EVERY_UNWATCHED:?} \
             instead: {why}",
            self.tree.path().display()
        );
    }

    fn scan(&mut self, tools: &mut Tools) -> Result<(), Trouble> {
        let Tools {
            settings,
            inbox,
            pace,
            ..
        } = tools;
        let is_first = self.scanned.is_none();
        if is_first {
            leftover::settle(&self.tree, self.scratch.names(), pace)?;
        }
        let known = &mut self.known;
        known.index.begin();
        let left = self.tree.walk(Path::new(""), pace, |path, facts| {
            known.see(path, facts, settings, inbox);
        })?;
        if is_first {
            let beside = left.iter().filter_map(|path| self.tree.spot(path).ok());
            leftover::settle(&self.tree, beside.collect(), pace)?;
        }
        let Known { index, cache } = &mut self.known;
        index.end();
        cache.settle(index.len(), index.computed());
        Ok(())
    }
}
