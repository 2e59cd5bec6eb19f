use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp, statx};
use rustix::path::Arg;
use sha2::{Digest as _, Sha256};

use super::pace::Pace;
use super::trouble::Trouble;

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// SHA-256 of a content.
pub type Digest = [u8; 32];

/// A file, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    pub dev: u64,
    pub ino: u64,
}

/// What changes with the content of a file. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// In bytes.
    pub size: u64,
    pub modified: i64,
    /// Kept by the kernel alone: no program can set it back.
    pub changed: i64,
}

impl Stamp {
    /// How long ago the file changed last; `None` when the clock has been set since.
    pub fn age(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let now = i64::try_from(now.as_nanos()).ok()?;
        let age = u64::try_from(now.checked_sub(self.changed)?).ok()?;
        Some(Duration::from_nanos(age))
    }
}

/// What two names of one file share, beside content and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
}

/// What the filesystem says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub id: FileId,
    pub stamp: Stamp,
    pub traits: Traits,
    /// How many names it has, anywhere.
    pub links: u32,
    /// Bytes on the disk, no more than its size.
    pub disk: u64,
    pub kind: FileType,
}

impl Facts {
    /// Of what has a name in a directory; of a link itself, not of what it points to.
    ///
    /// # Errors
    /// Those of the filesystem.
    pub fn at(dir: impl AsFd, name: impl Arg) -> Result<Self, Trouble> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(Self::of(&statx(dir, name, flags, StatxFlags::BASIC_STATS)?))
    }

    /// Of an open file.
    ///
    /// # Errors
    /// Those of the filesystem.
    pub fn of_file(file: &File) -> Result<Self, Trouble> {
        let flags = AtFlags::EMPTY_PATH;
        Ok(Self::of(&statx(file, c"", flags, StatxFlags::BASIC_STATS)?))
    }

    fn of(stat: &Statx) -> Self {
        Self {
            id: FileId {
                dev: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
                ino: stat.stx_ino,
            },
            stamp: Stamp {
                size: stat.stx_size,
                modified: nanoseconds(&stat.stx_mtime),
                changed: nanoseconds(&stat.stx_ctime),
            },
            traits: Traits {
                mode: stat.stx_mode,
                uid: stat.stx_uid,
                gid: stat.stx_gid,
            },
            links: stat.stx_nlink,
            disk: stat.stx_blocks.saturating_mul(512).min(stat.stx_size),
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
        }
    }

    pub fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }
}

fn nanoseconds(time: &StatxTimestamp) -> i64 {
    let seconds = time.tv_sec.saturating_mul(1_000_000_000);
    seconds.saturating_add(time.tv_nsec.into())
}

/// An open file, and what it was like when it was opened.
#[derive(Debug)]
pub struct Candidate {
    /// Below the directory.
    pub path: Box<Path>,
    pub file: File,
    pub facts: Facts,
}

impl Candidate {
    /// # Errors
    /// [`Trouble::Changed`] when it is not what it was.
    pub fn check_unchanged(&self) -> Result<(), Trouble> {
        match Facts::of_file(&self.file)?.stamp == self.facts.stamp {
            true => Ok(()),
            false => Err(Trouble::Changed),
        }
    }

    /// The SHA-256 of its content.
    ///
    /// # Errors
    /// [`Trouble::Changed`] when it changes meanwhile.
    pub fn hash(&self, pace: &mut Pace) -> Result<Digest, Trouble> {
        let mut buffer = self.buffer();
        let mut state = Sha256::new();
        for (offset, len) in self.pieces() {
            let piece = &mut buffer[..len];
            pace.piece(|| {
                self.file.read_exact_at(piece, offset)?;
                state.update(&*piece);
                Ok::<_, Trouble>(())
            })?;
        }
        self.check_unchanged()?;
        Ok(state.finalize().into())
    }

    /// Whether another file of the same length has the same bytes.
    ///
    /// # Errors
    /// Those of the filesystem.
    pub fn is_same_as(&self, other: &Self, pace: &mut Pace) -> Result<bool, Trouble> {
        let mut buffers = [self.buffer(), self.buffer()];
        for (offset, len) in self.pieces() {
            let [ours, theirs] = &mut buffers;
            let (ours, theirs) = (&mut ours[..len], &mut theirs[..len]);
            let is_same = pace.piece(|| {
                self.file.read_exact_at(ours, offset)?;
                other.file.read_exact_at(theirs, offset)?;
                Ok::<_, Trouble>(ours == theirs)
            })?;
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn buffer(&self) -> Vec<u8> {
        let len = usize::try_from(self.facts.stamp.size).unwrap_or(PIECE);
        vec![0; len.min(PIECE)]
    }

    /// Offsets and lengths that make up the file.
    fn pieces(&self) -> impl Iterator<Item = (u64, usize)> + use<> {
        let size = self.facts.stamp.size;
        (0..size).step_by(PIECE).map(move |offset| {
            let len = usize::try_from(size - offset).unwrap_or(PIECE);
            (offset, len.min(PIECE))
        })
    }
}
