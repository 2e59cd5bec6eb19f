//! One file with two names: the name of a copy becomes one of the file it is a copy of.
//!
//! Two names of a file cannot differ in mode, owner, times or attributes: copies that do are left
//! alone. So are files with names that are not below the directory. The name is never missing, and
//! what somebody puts in its place meanwhile stays.

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Timespec, Timestamps, UTIME_OMIT, fgetxattr, fgetxattr_query, flistxattr,
    flistxattr_query, futimens, linkat,
};
use rustix::io::Errno;

use super::candidate::{Candidate, Facts};
use super::lease::Lease;
use super::pace::Pace;
use super::swap::{Label, swap};
use super::tree::{Spot, Tree};
use super::trouble::Trouble;
use crate::config::Times;

/// Most names of a file; far fewer than any filesystem allows.
pub const LINKS_MAX: u32 = 4000;

/// Where names of ours are for a moment: in the state directory, or, where that is on another
/// filesystem, beside the name that is replaced.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// With its device.
    dir: Option<(OwnedFd, u64)>,
}

impl Scratch {
    /// Makes the directory where there is none.
    pub fn open(path: PathBuf) -> Self {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        let opened = made.and_then(|()| std::fs::File::open(&path)).ok();
        let dir = opened.and_then(|dir| {
            let dev = Facts::of_file(&dir).ok()?.id.dev;
            Some((dir.into(), dev))
        });
        Self { path, dir }
    }

    /// The names in it.
    pub fn names(&self) -> Vec<Spot> {
        let Some((dir, _)) = &self.dir else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(&self.path).into_iter().flatten();
        let spot = |entry: std::fs::DirEntry| {
            let dir = dir.try_clone().ok()?;
            let name = entry.file_name();
            Some(Spot { dir, name })
        };
        entries.flatten().filter_map(spot).collect()
    }

    /// Gives `keeper` one more name, to be put at `target`, which is called `path`.
    fn place(&self, keeper: (&Spot, &Facts), target: &Spot, path: &Path) -> Result<Spot, Trouble> {
        let (from, facts) = keeper;
        let name = Label::new(facts.id.ino, path).name();
        let link = |to: &Spot| linkat(&from.dir, &*from.name, &to.dir, &*to.name, AtFlags::empty());
        let spot = |dir: &OwnedFd| -> Result<Spot, Trouble> {
            let dir = dir.try_clone()?;
            let name = name.clone().into();
            Ok(Spot { dir, name })
        };
        let linked = match &self.dir {
            Some((dir, dev)) if *dev == facts.id.dev => {
                let there = spot(dir)?;
                match link(&there) {
                    // Two mounts of one filesystem.
                    Err(Errno::XDEV) => None,
                    linked => Some(linked.map(|()| there)),
                }
            }
            _ => None,
        };
        let placed = match linked {
            Some(linked) => linked?,
            None => {
                let beside = spot(&target.dir)?;
                link(&beside)?;
                beside
            }
        };
        if placed.facts()?.id != facts.id {
            placed.remove()?;
            return Err(Trouble::Changed);
        }
        Ok(placed)
    }
}

/// Names and values, sorted.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The extended attributes of a file, ACLs among them.
///
/// # Errors
/// Those of the filesystem.
pub fn attributes(file: &Candidate) -> Result<Attributes, Trouble> {
    let file = &file.file;
    let mut names = match flistxattr_query(file) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        len => vec![0; len?],
    };
    let len = flistxattr(file, &mut *names)?;
    names.truncate(len);
    let mut all = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; fgetxattr_query(file, name)?];
        let len = fgetxattr(file, name, &mut *value)?;
        value.truncate(len);
        all.push((name.to_owned(), value));
    }
    all.sort_unstable();
    Ok(all)
}

/// Makes the name of `copy` one of `keeper`, whose bytes are the same and are on the disk. Answers
/// what both are then, or `None` when something came in between.
///
/// # Errors
/// Whatever it was, each name is what it was before, or what others made it since.
pub fn share(
    tree: &Tree,
    scratch: &Scratch,
    times: Times,
    (keeper, copy): (&Candidate, &Candidate),
) -> Result<Option<[Facts; 2]>, Trouble> {
    let (from, target) = (tree.spot(&keeper.path)?, tree.spot(&copy.path)?);
    // From here on nobody writes to either of them, so what has not changed is still the same.
    let lease = Lease::take(&copy.file)?;
    let keepers_lease = Lease::take(&keeper.file)?;
    keeper.check_unchanged()?;
    copy.check_unchanged()?;
    if times == Times::Newest && copy.facts.stamp.modified > keeper.facts.stamp.modified {
        // Before the name is replaced: dying in between, it must not look older than it is.
        set_modified(keeper, copy.facts.stamp.modified)?;
    }
    let placed = scratch.place((&from, &keeper.facts), &target, &copy.path)?;
    let is_wanted = || !lease.is_broken() && !keepers_lease.is_broken();
    let (ours, theirs) = (keeper.facts.id.ino, copy.facts.id.ino);
    let swapped = swap(&placed, &target, ours, theirs, is_wanted);
    // After an error only what was to be put in place may go: the next start sees to the rest.
    if swapped.is_ok()
        || placed
            .facts()
            .is_ok_and(|facts| facts.id == keeper.facts.id)
    {
        placed.remove()?;
    }
    match swapped? {
        true => {
            let [kept, left] = [keeper, copy].map(|file| Facts::of_file(&file.file));
            Ok(Some([kept?, left?]))
        }
        false => Ok(None),
    }
}

fn set_modified(file: &Candidate, nanoseconds: i64) -> Result<(), Trouble> {
    const SECOND: i64 = 1_000_000_000;
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: nanoseconds.div_euclid(SECOND),
            tv_nsec: nanoseconds.rem_euclid(SECOND),
        },
    };
    Ok(futimens(&file.file, &times)?)
}

/// Compares all bytes, and makes those of the keeper durable unless they are: whoever was told that
/// the copy is on the disk must not depend on a file that is not.
///
/// # Errors
/// Those of the filesystem.
pub fn prepare(
    keeper: &Candidate,
    copy: &Candidate,
    is_durable: bool,
    pace: &mut Pace,
) -> Result<bool, Trouble> {
    if !keeper.is_same_as(copy, pace)? {
        return Ok(false);
    }
    if !is_durable {
        pace.piece(|| keeper.file.sync_data())?;
    }
    Ok(true)
}
