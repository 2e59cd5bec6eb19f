//! One name put in the place of another in one step, and only if that one still is what it was:
//! Linux exchanges two names at once, and what comes back tells whether it was the right one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{RenameFlags, renameat_with};
use sha2::{Digest as _, Sha256};

use super::tree::Spot;
use super::trouble::Trouble;

/// How the names of ours begin that are there for a moment.
pub const PREFIX: &str = ".steadfast-dedup-";

/// What a name of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The inode of the file that was to be put in place.
    pub keeper: u64,
    /// Tells the name that was to be replaced.
    pub target: u64,
}

impl Label {
    pub fn new(keeper: u64, target: &Path) -> Self {
        let target = print(target);
        Self { keeper, target }
    }

    pub fn name(&self) -> String {
        format!("{PREFIX}{:x}-{:016x}", self.keeper, self.target)
    }

    pub fn parse(name: &OsStr) -> Option<Self> {
        let text = name.to_str()?.strip_prefix(PREFIX)?;
        let (keeper, target) = text.split_once('-')?;
        let parse = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            keeper: parse(keeper)?,
            target: parse(target)?,
        })
    }
}

/// Tells one path from another in few bytes.
pub fn print(path: &Path) -> u64 {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let first = digest.first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

/// Puts the file `placed`, which is at `temporary`, in the place of the file `expected` at `target`.
/// When another one has come there meanwhile, or it `is_wanted` no more, all is undone, and the
/// answer is false. In either case what is left at `temporary` is of no use to anybody.
///
/// # Errors
/// What is left at `temporary` may then be what belongs at `target`.
pub fn swap(
    temporary: &Spot,
    target: &Spot,
    placed: u64,
    expected: u64,
    is_wanted: impl FnOnce() -> bool,
) -> Result<bool, Trouble> {
    exchange(temporary, target)?;
    let mut found = temporary.facts()?.id.ino;
    if found == expected && is_wanted() {
        return Ok(true);
    }
    // What was found goes back, in place of what was put there; what has come there since then is
    // newer still, and stays.
    let mut placed = placed;
    while found != placed {
        exchange(temporary, target)?;
        let next = temporary.facts()?.id.ino;
        if next == placed {
            break;
        }
        (placed, found) = (found, next);
    }
    Ok(false)
}

fn exchange(one: &Spot, other: &Spot) -> Result<(), Trouble> {
    let flags = RenameFlags::EXCHANGE;
    let exchanged = renameat_with(&one.dir, &*one.name, &other.dir, &*other.name, flags);
    exchanged.map_err(|errno| match errno {
        rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS => {
            Trouble::Unsupported("it cannot exchange two names")
        }
        errno => errno.into(),
    })
}
