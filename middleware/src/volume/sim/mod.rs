//! A disk made of memory, to cut the power of.
//!
//! What is written is in the cache at once and on the disk when it is flushed. A power cut keeps what
//! is on the disk, and of the rest whatever a real one might keep: any of the pages written, each
//! in any of the versions it had, torn within a page; any of the lengths a file had; any of the names
//! made or removed. What a file holds where nothing was written comes from files deleted before.
//! After a flush that failed the cache shows what the disk never got, as on Linux.

mod inode;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use self::inode::Inode;
use super::contract::{File, Filesystem, Found, Open};

/// Bytes that reach the disk together.
const PAGE: usize = 512;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A stream of numbers, the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True `percent` times of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// An index into something of `len` items.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

/// What goes wrong, and when: numbers of operations from now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// From this operation on nothing reaches the disk: the power is gone.
    pub(crate) cut_at: Option<u64>,
    /// The first flush from this operation on fails, and what it was to flush is lost.
    pub(crate) flush_fails_at: Option<u64>,
    /// There is no room from this operation on, for as many operations.
    pub(crate) full: Option<(u64, u64)>,
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct SimFs {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as processes see them, and as they are on the disk.
    names: BTreeMap<PathBuf, u64>,
    flushed: BTreeMap<PathBuf, u64>,
    /// Changes of names since their directories were flushed, in order.
    changes: Vec<Change>,
    /// What deleted files held.
    stale: Vec<u8>,
    operations: u64,
    plan: Plan,
    now: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self {
            rng: Rng(0),
            inodes: BTreeMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            flushed: BTreeMap::new(),
            changes: Vec::new(),
            stale: Vec::new(),
            operations: 0,
            plan: Plan::default(),
            now: Duration::ZERO,
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Made(PathBuf, u64),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf),
}

impl Change {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Made(path, _) | Self::Removed(path) => path.parent() == Some(dir),
            Self::Renamed(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Made(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Removed(path) => {
                names.remove(path);
            }
            Self::Renamed(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

impl SimFs {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let fs = Self::default();
        fs.lock().rng = Rng(seed);
        Arc::new(fs)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what goes wrong from now on.
    pub(crate) fn plan(&self, plan: Plan) {
        let mut state = self.lock();
        state.operations = 0;
        state.plan = plan;
    }

    /// Whether the power is gone.
    pub(crate) fn is_cut(&self) -> bool {
        let state = self.lock();
        state.plan.cut_at.is_some_and(|at| state.operations > at)
    }

    /// The time that files get.
    pub(crate) fn set_time(&self, now: Duration) {
        self.lock().now = now;
    }

    /// The power is cut: what is left is what a disk may have of it.
    pub(crate) fn cut(&self) {
        let state = &mut *self.lock();
        let rng = &mut state.rng;
        let mut names = std::mem::take(&mut state.flushed);
        let keep = 10 + 80 * rng.below(2);
        for change in state.changes.drain(..) {
            if rng.chance(keep) {
                change.apply(&mut names);
            }
        }
        for inode in state.inodes.values_mut() {
            inode.cut(rng, &state.stale);
        }
        state.flushed.clone_from(&names);
        state.names = names;
        state.plan = Plan::default();
    }

    /// All names there are.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }
}

/// What an operation does to the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Looks,
    Grows,
    Changes,
}

impl State {
    /// Counts an operation, and fails it where it is to fail.
    fn step(&mut self, effect: Effect) -> io::Result<()> {
        self.operations += 1;
        if self.plan.cut_at.is_some_and(|at| self.operations > at) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let full = |(from, len)| (from..from + len).contains(&self.operations);
        if effect == Effect::Grows && self.plan.full.is_some_and(full) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    fn flush_fails(&mut self) -> bool {
        let fails = self
            .plan
            .flush_fails_at
            .is_some_and(|at| self.operations >= at);
        if fails {
            self.plan.flush_fails_at = None;
        }
        fails
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Filesystem for Arc<SimFs> {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        state.step(Effect::Looks)?;
        let inode = match (state.names.get(path), how) {
            (Some(_), Open::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(&inode), _) => inode,
            (None, Open::Read | Open::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) => {
                state.step(Effect::Grows)?;
                let inode = state.next_inode;
                state.next_inode += 1;
                let now = state.now;
                state.inodes.insert(inode, Inode::new(now));
                state.change(Change::Made(path.to_owned(), inode));
                inode
            }
        };
        let fs = Arc::clone(self);
        Ok(Arc::new(SimFile { fs, inode }))
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.lock().step(Effect::Looks)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step(Effect::Changes)?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step(Effect::Changes)?;
        let Some(&inode) = state.names.get(path) else {
            return Ok(());
        };
        state.change(Change::Removed(path.to_owned()));
        let held = state.inodes[&inode].bytes().to_vec();
        state.stale.extend(held);
        let whole_pages = state.stale.len().next_multiple_of(PAGE);
        state.stale.resize(whole_pages, 0);
        let excess = state.stale.len().saturating_sub(64 * PAGE);
        state.stale.drain(..excess / PAGE * PAGE);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Found>> {
        let mut state = self.lock();
        state.step(Effect::Looks)?;
        let found = |(path, inode): (&PathBuf, &u64)| {
            let name = path.file_name()?.to_owned();
            (path.parent() == Some(dir)).then(|| Found {
                name,
                modified: SystemTime::UNIX_EPOCH + state.inodes[inode].modified,
            })
        };
        Ok(state.names.iter().filter_map(found).collect())
    }

    fn flush_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step(Effect::Changes)?;
        if state.flush_fails() {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let (flushed, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut state.changes)
            .into_iter()
            .partition(|change| change.is_in(dir));
        for change in flushed {
            change.apply(&mut state.flushed);
        }
        state.changes = rest;
        Ok(())
    }

    fn may_flush_all(&self) -> bool {
        false
    }

    fn flush_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn free_space(&self, _: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// An open file of the disk.
struct SimFile {
    fs: Arc<SimFs>,
    inode: u64,
}

impl SimFile {
    fn with<T>(
        &self,
        effect: Effect,
        work: impl FnOnce(&mut State, &mut Inode) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.fs.lock();
        state.step(effect)?;
        // Taken out for as long, so that both can be changed. Inodes are never dropped.
        let mut inode = state.inodes.remove(&self.inode).unwrap_or_default();
        let result = work(&mut state, &mut inode);
        state.inodes.insert(self.inode, inode);
        result
    }
}

impl File for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(Effect::Grows, |state, inode| {
            inode.modified = state.now;
            inode.write(bytes, at(offset));
            Ok(())
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(Effect::Looks, |_, inode| inode.read(buffer, at(offset)))
    }

    fn len(&self) -> io::Result<u64> {
        self.with(Effect::Looks, |_, inode| Ok(inode.bytes().len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(Effect::Changes, |_, inode| {
            inode.set_len(at(len));
            Ok(())
        })
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        self.with(Effect::Grows, |_, _| Ok(()))
    }

    fn flush(&self) -> io::Result<()> {
        self.with(Effect::Changes, |state, inode| {
            if state.flush_fails() {
                inode.lose();
                return Err(io::Error::from_raw_os_error(EIO));
            }
            inode.flush();
            Ok(())
        })
    }

    fn start_write_back(&self, _: u64, _: u64) {}

    fn forget_cache(&self) {
        // A hint: there is nobody to tell of an error.
        let _ = self.with(Effect::Looks, |_, inode| {
            inode.forget_cache();
            Ok(())
        });
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
