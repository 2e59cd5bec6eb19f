//! Where a file stands that cannot get its place in one step: `.steadfast/` (0700) in the directory
//! it is for, there while something is in it. No client's file has that name.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::super::contract::FlushFailed;
use crate::upload::{FileName, UploadKey};

const DIR: &str = ".steadfast";
/// Times that somebody else may remove the directory before something is in it.
const TRIES_MAX: usize = 100;

/// What stands there for one upload: the file, and the name that it is about to get.
pub(super) struct Staging {
    home: PathBuf,
    dir: PathBuf,
    part: PathBuf,
    note: PathBuf,
    durable: bool,
}

/// Whether a name belongs to us. A filesystem may not tell the two cases of a letter apart.
pub(super) fn is_reserved(name: &FileName) -> bool {
    name.as_str().eq_ignore_ascii_case(DIR)
}

impl Staging {
    pub(super) fn new(home: &Path, key: UploadKey, durable: bool) -> Self {
        let dir = home.join(DIR);
        Self {
            home: home.to_owned(),
            part: dir.join(format!("{key}.part")),
            note: dir.join(format!("{key}.name")),
            dir,
            durable,
        }
    }

    /// The file.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    /// Makes something in the directory, which whoever finds it empty removes.
    pub(super) fn make<T>(&self, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let mut tries = 0;
        loop {
            match DirBuilder::new().mode(0o700).create(&self.dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            match make(&self.part) {
                Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES_MAX => {
                    tries += 1;
                }
                made => return made,
            }
        }
    }

    /// Writes down the name that the file is about to get.
    pub(super) fn put_note(&self, name: &FileName) -> io::Result<()> {
        let mut note = File::create(&self.note)?;
        note.write_all(name.as_str().as_bytes())?;
        if self.durable {
            sync(&note)?;
            sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// The name that the file was about to get. It is whole then.
    pub(super) fn note(&self) -> io::Result<Option<FileName>> {
        match fs::read_to_string(&self.note) {
            Ok(name) => Ok(FileName::parse(name).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the file has got that name: it stands there, or here no more.
    pub(super) fn has_got(&self, name: &FileName) -> io::Result<bool> {
        if !self.part.try_exists()? {
            return Ok(true);
        }
        let target = self.home.join(name.as_str());
        Ok(is_same_file(&self.part, &target).unwrap_or(false))
    }

    /// Removes what stands here. The note goes first: alone, it would say that the file has its name.
    pub(super) fn clear(&self) -> io::Result<()> {
        if self.note.try_exists()? {
            remove_if_present(&self.note)?;
            self.sync()?;
        }
        remove_if_present(&self.part)?;
        // It stays while there is more in it.
        let _ = fs::remove_dir(&self.dir);
        Ok(())
    }

    /// Flushes the names of both directories.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.durable {
            return Ok(());
        }
        sync_dir(&self.home)?;
        match sync_dir(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

pub(super) fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

pub(super) fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok(one.dev() == other.dev() && one.ino() == other.ino())
}

/// Makes the names in a directory durable, where its filesystem can.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => FlushFailed::mark(synced),
    }
}

/// Makes the bytes of a file durable, with what it is and how long.
pub(super) fn sync(file: &File) -> io::Result<()> {
    FlushFailed::mark(file.sync_all())
}
