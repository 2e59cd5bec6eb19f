//! The directory and what is below it. Every path is walked one name at a time from the open
//! directory, and no name on the way may be a symbolic link: whatever others do meanwhile, nothing
//! outside is reached.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::candidate::{Candidate, Facts};
use super::pace::Pace;
use super::swap::PREFIX;
use super::trouble::Trouble;

/// Entries of a directory that are looked at in one piece of work.
const PIECE: usize = 64;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub struct Tree {
    dir: OwnedFd,
    path: PathBuf,
}

/// A name in an open directory.
#[derive(Debug)]
pub struct Spot {
    pub dir: OwnedFd,
    pub name: OsString,
}

impl Tree {
    /// Opens a directory; a link to it is followed.
    ///
    /// # Errors
    /// Those of the filesystem.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let dir = openat(CWD, &path, DIRECTORY, Mode::empty())?;
        Ok(Self { dir, path })
    }

    /// Where it is, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still what `path` leads to.
    pub fn is_at(&self, path: &Path) -> bool {
        let found = Self::open(path).and_then(|tree| Ok(tree.path == self.path && self.is(&tree)?));
        found.unwrap_or(false)
    }

    fn is(&self, other: &Self) -> io::Result<bool> {
        let [ours, theirs] = [&self.dir, &other.dir].map(rustix::fs::fstat);
        let (ours, theirs) = (ours?, theirs?);
        Ok((ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino))
    }

    /// The name at the end of `path`, which must lead down.
    ///
    /// # Errors
    /// Those of the filesystem, and a path that does not lead down or over a link.
    pub fn spot(&self, path: &Path) -> Result<Spot, Trouble> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return Err(Trouble::Changed);
        };
        Ok(Spot {
            dir: self.dir(parent)?,
            name: name.to_owned(),
        })
    }

    fn dir(&self, path: &Path) -> Result<OwnedFd, Trouble> {
        let mut dir = self.dir.try_clone()?;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(Trouble::Changed);
            };
            let next = openat(&dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
            dir = next.map_err(not_there)?;
        }
        Ok(dir)
    }

    /// Opens the regular file at `path`, for reading.
    ///
    /// # Errors
    /// [`Trouble::Changed`] when there is none any more.
    pub fn candidate(&self, path: &Path) -> Result<Candidate, Trouble> {
        self.spot(path)?.candidate(path)
    }

    /// Shows every file at and below `from`, and answers the names of ours that were left behind.
    /// What cannot be read is passed over.
    ///
    /// # Errors
    /// [`Trouble::Stopped`].
    pub fn walk(
        &self,
        from: &Path,
        pace: &mut Pace,
        mut each: impl FnMut(&Path, &Facts),
    ) -> Result<Vec<PathBuf>, Trouble> {
        let (mut dirs, mut left) = (vec![from.to_owned()], Vec::new());
        while let Some(path) = dirs.pop() {
            let Ok(dir) = self.dir(&path) else { continue };
            let Ok(mut entries) = Dir::read_from(&dir) else {
                continue;
            };
            let mut is_more = true;
            while is_more {
                is_more = pace.piece(|| {
                    for _ in 0..PIECE {
                        let Some(Ok(entry)) = entries.read() else {
                            return Ok::<_, Trouble>(false);
                        };
                        let name = OsStr::from_bytes(entry.file_name().to_bytes());
                        if is_hidden(name) {
                            if name.as_bytes().starts_with(PREFIX.as_bytes()) {
                                left.push(path.join(name));
                            }
                        } else if entry.file_type() == FileType::Directory {
                            dirs.push(path.join(name));
                        } else if let Ok(facts) = Facts::at(&dir, name) {
                            match facts.kind {
                                FileType::RegularFile => each(&path.join(name), &facts),
                                // Not every filesystem says it beforehand.
                                FileType::Directory => dirs.push(path.join(name)),
                                _ => {}
                            }
                        }
                    }
                    Ok(true)
                })?;
            }
        }
        Ok(left)
    }
}

impl Spot {
    /// # Errors
    /// [`Trouble::Changed`] when there is nothing of that name.
    pub fn facts(&self) -> Result<Facts, Trouble> {
        Facts::at(&self.dir, &*self.name)
    }

    /// Opens it for reading, and so that this shows nowhere.
    ///
    /// # Errors
    /// [`Trouble::Changed`] when there is nothing of that name, or a link.
    pub fn open(&self) -> Result<File, Trouble> {
        // What is no regular file must not make us wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOCTTY;
        let open = |flags| openat(self.dir.as_fd(), &*self.name, flags, Mode::empty());
        let opened = match open(flags | OFlags::NOATIME) {
            // For the owner of the file alone.
            Err(Errno::PERM) => open(flags),
            opened => opened,
        };
        Ok(opened.map_err(not_there)?.into())
    }

    /// Opens the regular file that has this name and is called `path`.
    ///
    /// # Errors
    /// [`Trouble::Changed`] when there is none.
    pub fn candidate(&self, path: &Path) -> Result<Candidate, Trouble> {
        let file = self.open()?;
        let facts = Facts::of_file(&file)?;
        match facts.is_file() {
            true => Ok(Candidate {
                path: path.into(),
                file,
                facts,
            }),
            false => Err(Trouble::Changed),
        }
    }

    /// Removes the name.
    ///
    /// # Errors
    /// Those of the filesystem; not that it was gone.
    pub fn remove(&self) -> Result<(), Trouble> {
        match unlinkat(&self.dir, &*self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Files and directories of which others make nothing of their content yet.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

/// A name that leads elsewhere now is as good as gone.
fn not_there(errno: Errno) -> Trouble {
    match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO => Trouble::Changed,
        errno => errno.into(),
    }
}
