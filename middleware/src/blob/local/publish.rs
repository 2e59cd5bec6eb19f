//! Gives a finished file its place in the directory of `delivery.mode = "store"`.
//!
//! The name appears at once and whole, and never in place of another file unless that is asked
//! for. The process may die at any point; the next attempt must then find what this one did:
//!
//! 1. The data file gets the name as a hard link, which fails when the name is taken. Its old name
//!    goes only when the publication is on record, so that the file is recognised by its inode.
//! 2. Across filesystems, and where there are no hard links, a flushed copy is moved to the name.
//!    A note of the name is made before: a note without its copy says that the copy has got the
//!    name, whatever became of it since.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::super::contract::{OnConflict, Publish};
use super::staging::{Staging, is_reserved, is_same_file, remove_if_present, sync, sync_dir};
use crate::upload::{Crc32c, FileName, UploadKey};

/// Longer ones are no extensions.
const EXTENSION_LEN_MAX: usize = 32;
/// Most names tried under [`OnConflict::Rename`].
const NAMES_MAX: u32 = 10_000;
/// Bytes copied at once.
const COPY_LEN: usize = 1 << 20;

/// Gives a file a name that is not taken.
type Naming = fn(&Path, &Path) -> io::Result<()>;

/// What not every filesystem can do.
#[derive(Clone, Copy)]
pub(super) struct Filesystem {
    /// Adds the name.
    pub(super) link: Naming,
    /// Replaces the old name by it.
    pub(super) rename: Naming,
}

/// What this system can do; whether the filesystem can, it says when it is asked.
pub(super) const SYSTEM: Filesystem = Filesystem {
    link: |from, to| fs::hard_link(from, to),
    rename: |from, to| Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?),
};

pub(super) fn publish(
    data: &Path,
    key: UploadKey,
    publish: &Publish,
) -> io::Result<Option<FileName>> {
    publish_on(SYSTEM, data, key, publish)
}

pub(super) fn publish_on(
    system: Filesystem,
    data: &Path,
    key: UploadKey,
    publish: &Publish,
) -> io::Result<Option<FileName>> {
    make_dir(&publish.dir, publish.durable)?;
    let staging = Staging::new(&publish.dir, key, publish.durable);
    let publication = Publication {
        system,
        publish,
        staging,
    };
    let name = publication.publish(data)?;
    if name.is_none() {
        publication.staging.clear()?;
    }
    publication.staging.sync()?;
    Ok(name)
}

/// Drops the names that only served to recognise the file.
pub(super) fn settle(data: &Path, key: UploadKey, dir: &Path) -> io::Result<()> {
    remove_if_present(data)?;
    Staging::new(dir, key, false).clear()
}

struct Publication<'a> {
    system: Filesystem,
    publish: &'a Publish,
    staging: Staging,
}

impl Publication<'_> {
    fn publish(&self, data: &Path) -> io::Result<Option<FileName>> {
        let note = self.staging.note()?;
        if let Some(name) = &note
            && self.staging.has_got(name)?
        {
            return Ok(note);
        }
        if is_same_filesystem(data, &self.publish.dir)? {
            match self.by_linking(data) {
                Err(error) if no_links(&error) => {}
                published => return published,
            }
        }
        if note.is_none() {
            self.copy(data).inspect_err(|_| {
                // What is left of it would take the room that it needs.
                let _ = self.staging.clear();
            })?;
        }
        self.by_moving()
    }

    fn by_linking(&self, data: &Path) -> io::Result<Option<FileName>> {
        self.make_readable(data)?;
        if self.publish.on_conflict == OnConflict::Overwrite {
            self.staging.make(|part| {
                remove_if_present(part)?;
                (self.system.link)(data, part)
            })?;
            let replaced = self.replace();
            self.staging.clear()?;
            return replaced;
        }
        if fs::symlink_metadata(data)?.nlink() > 1 {
            // An attempt that was cut short has given it a name; a lower one may be free since.
            let is_ours = |name: &FileName| is_same_file(data, &self.target(name));
            if let Some(name) = self.names().find(|name| is_ours(name).unwrap_or(false)) {
                return Ok(Some(name));
            }
        }
        self.first_free(data, |_, target| (self.system.link)(data, target))
    }

    fn by_moving(&self) -> io::Result<Option<FileName>> {
        if self.publish.on_conflict == OnConflict::Overwrite {
            self.staging.put_note(&self.publish.name)?;
            return self.replace();
        }
        let (part, system) = (self.staging.part(), self.system);
        self.first_free(part, |name, target| {
            self.staging.put_note(name)?;
            match (system.rename)(part, target) {
                Err(error) if is_unknown_call(&error) => {}
                moved => return moved,
            }
            (system.link)(part, target)?;
            remove_if_present(part)
        })
    }

    /// Puts the staged file in the place of what has its name.
    fn replace(&self) -> io::Result<Option<FileName>> {
        let name = &self.publish.name;
        if is_reserved(name) {
            return Ok(None);
        }
        match fs::rename(self.staging.part(), self.target(name)) {
            Ok(()) => Ok(Some(name.clone())),
            Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tries names until one is free or the file's already; `None` when none may be tried any more.
    fn first_free(
        &self,
        file: &Path,
        give: impl Fn(&FileName, &Path) -> io::Result<()>,
    ) -> io::Result<Option<FileName>> {
        for name in self.names() {
            let target = self.target(&name);
            if fs::symlink_metadata(&target).is_ok() {
                if is_same_file(file, &target).unwrap_or(false) {
                    return Ok(Some(name));
                }
                continue;
            }
            match give(&name, &target) {
                Ok(()) => return Ok(Some(name)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        match self.publish.on_conflict {
            OnConflict::Rename => Err(io::Error::other("no free name is left for the file")),
            OnConflict::Reject | OnConflict::Overwrite => Ok(None),
        }
    }

    fn names(&self) -> impl Iterator<Item = FileName> {
        let count = match self.publish.on_conflict {
            OnConflict::Rename => NAMES_MAX,
            OnConflict::Reject | OnConflict::Overwrite => 1,
        };
        (0..count)
            .filter_map(|number| numbered(&self.publish.name, number))
            .filter(|name| !is_reserved(name))
    }

    fn target(&self, name: &FileName) -> PathBuf {
        self.publish.dir.join(name.as_str())
    }

    /// Copies the data file and looks at every byte.
    fn copy(&self, data: &Path) -> io::Result<()> {
        let mut to = self.staging.make(|part| {
            remove_if_present(part)?;
            File::create_new(part)
        })?;
        let from = Counted {
            file: File::open(data)?,
            crc: Crc32c::default(),
        };
        let mut from = BufReader::with_capacity(COPY_LEN, from);
        io::copy(&mut from, &mut to)?;
        if self
            .publish
            .crc
            .is_some_and(|crc| from.get_ref().crc.finish() != crc)
        {
            let message = "the bytes are not what was received";
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
        self.make_readable(self.staging.part())
    }

    /// As readable as any new file; with its bytes on the disk, where that is asked for.
    fn make_readable(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(0o644 & !umask()))?;
        match self.publish.durable {
            true => sync(&File::open(path)?),
            false => Ok(()),
        }
    }
}

/// A file whose bytes are checksummed as they are read.
struct Counted {
    file: File,
    crc: Crc32c,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        self.crc.update(&buffer[..len]);
        Ok(len)
    }
}

fn make_dir(dir: &Path, durable: bool) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_dir(parent, durable)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !dir.is_dir() => Err(error),
        _ if durable => sync_dir(parent),
        _ => Ok(()),
    }
}

fn is_same_filesystem(data: &Path, dir: &Path) -> io::Result<bool> {
    Ok(fs::metadata(data)?.dev() == fs::metadata(dir)?.dev())
}

/// Whether a link between these two places is out of the question: two mounts of one filesystem
/// look alike until it is tried, and some have no hard links or no more for this file.
fn no_links(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK)
    )
}

/// Whether the filesystem has no such rename.
fn is_unknown_call(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
    )
}

/// `a.tar.gz` becomes `a.tar (2).gz`; shortened where it would be too long.
fn numbered(name: &FileName, number: u32) -> Option<FileName> {
    if number == 0 {
        return Some(name.clone());
    }
    let text = name.as_str();
    let (stem, extension) = match text.rfind('.') {
        Some(dot) if dot > 0 && text.len() - dot <= EXTENSION_LEN_MAX => text.split_at(dot),
        _ => (text, ""),
    };
    let suffix = format!(" ({number}){extension}");
    let stem = &stem[..stem.floor_char_boundary(255 - suffix.len())];
    FileName::parse(format!("{stem}{suffix}")).ok()
}

/// The process's file mode mask. The system call that answers it also sets it, for all threads;
/// Linux shows it without.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}
