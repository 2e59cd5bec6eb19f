use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags, syncfs};
use tempfile::TempDir;

use crate::workload::MIB;

const DIR_VARIABLE: &str = "STEADFAST_BENCH_DIR";

/// The directory everything of one benchmark is in; it goes with this value.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// A new directory in `parent`, or in the one the environment names, or else beside the
    /// program.
    pub(crate) fn new(parent: Option<&Path>) -> io::Result<Self> {
        let named = parent.map(Path::to_owned);
        let named = named.or_else(|| std::env::var_os(DIR_VARIABLE).map(PathBuf::from));
        let parent = named.map_or_else(beside_the_program, Ok)?;
        fs::create_dir_all(&parent)?;
        let dir = tempfile::Builder::new()
            .prefix("loopback-")
            .tempdir_in(parent)?;
        spread(dir.path());
        Ok(Self { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// An empty directory for one run.
    pub(crate) fn for_run(&self) -> io::Result<TempDir> {
        tempfile::tempdir_in(self.path())
    }

    /// Makes all runs begin alike: memory for `bytes` of page cache is there, and nothing of the
    /// run before is left to be written.
    pub(crate) fn prepare(&self, bytes: u64) -> io::Result<()> {
        self.touch(bytes)?;
        Ok(syncfs(File::open(self.path())?)?)
    }

    /// Takes memory for `bytes` of page cache, and frees it again.
    fn touch(&self, bytes: u64) -> io::Result<()> {
        let mut file = tempfile::tempfile_in(self.path())?;
        let piece = vec![1; usize::try_from(MIB).unwrap_or(usize::MAX)];
        for _ in 0..bytes.div_ceil(MIB) {
            file.write_all(&piece)?;
        }
        Ok(())
    }
}

/// Asks for a place of its own on the disk for each directory in `dir`, where the filesystem can
/// do that. ext4 without a journal looks at every inode that was freed in the last minutes before
/// it takes one, so that creating files would get slower with each run that was cleaned up.
fn spread(dir: &Path) {
    // A filesystem that knows no such attribute needs none.
    let _ = File::open(dir).and_then(|dir| {
        let flags = ioctl_getflags(&dir)?;
        Ok(ioctl_setflags(&dir, flags | IFlags::TOPDIR)?)
    });
}

/// Temporary directories are often kept in memory; what Cargo builds is on a disk.
fn beside_the_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let dir = program
        .parent()
        .ok_or_else(|| io::Error::other("the program is in no directory"))?;
    Ok(dir.join("bench-data"))
}

/// Number and bytes of the files in `dir`; nothing when there is no such directory.
pub(crate) fn files_in(dir: &Path) -> io::Result<(u64, u64)> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        other => other?,
    };
    let (mut count, mut bytes) = (0, 0);
    for entry in entries {
        let file = File::open(entry?.path())?;
        count += 1;
        bytes += file.metadata()?.len();
    }
    Ok((count, bytes))
}
