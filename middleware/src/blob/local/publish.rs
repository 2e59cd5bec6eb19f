//! Gives a finished file its place in the directory of `delivery.mode = "store"`.
//!
//! The name appears at once and whole, and never in place of another file unless that is asked
//! for: the data file gets the name as a hard link, which fails when the name is taken. Its old
//! name goes only when the publication is on record, so that after a crash in between the next
//! attempt recognises its own file. Across filesystems a flushed copy takes the part of the data
//! file.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::super::contract::{OnConflict, Publish};
use crate::upload::{FileName, UploadKey};

/// Longer ones are no extensions.
const EXTENSION_LEN_MAX: usize = 32;
/// Most names tried under [`OnConflict::Rename`].
const NAMES_MAX: u32 = 10_000;

pub(super) fn publish(
    data: &Path,
    key: UploadKey,
    publish: &Publish,
) -> io::Result<Option<FileName>> {
    fs::create_dir_all(&publish.dir)?;
    let staged = staged(&publish.dir, key);
    if same_filesystem(data, &publish.dir)? {
        // Two mounts of one filesystem look alike until a link between them is tried.
        match publish_from(data, &staged, publish) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
            other => return other,
        }
    }
    copy(data, &staged)?;
    publish_from(&staged, &staged, publish)
}

fn publish_from(source: &Path, staged: &Path, publish: &Publish) -> io::Result<Option<FileName>> {
    fs::set_permissions(source, Permissions::from_mode(0o644 & !umask()))?;
    let name = match publish.on_conflict {
        OnConflict::Overwrite => overwrite(source, staged, publish).map(Some),
        OnConflict::Reject => link(source, &publish.dir, &publish.name),
        OnConflict::Rename => link_free(source, publish).map(Some),
    }?;
    if name.is_none() {
        remove_if_present(staged)?;
    }
    Ok(name)
}

/// Drops the names that only served to recognise the file.
pub(super) fn settle(data: &Path, key: UploadKey, dir: &Path) -> io::Result<()> {
    remove_if_present(&staged(dir, key))?;
    remove_if_present(data)
}

pub(super) fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn staged(dir: &Path, key: UploadKey) -> PathBuf {
    dir.join(format!(".{key}.part"))
}

/// Links `source` under `name`; `None` when another file has that name.
fn link(source: &Path, dir: &Path, name: &FileName) -> io::Result<Option<FileName>> {
    let target = dir.join(name.as_str());
    match fs::hard_link(source, &target) {
        Ok(()) => Ok(Some(name.clone())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(is_same_file(source, &target)?.then(|| name.clone()))
        }
        Err(error) => Err(error),
    }
}

fn link_free(source: &Path, publish: &Publish) -> io::Result<FileName> {
    let names = || (0..NAMES_MAX).filter_map(|number| numbered(&publish.name, number));
    if fs::symlink_metadata(source)?.nlink() > 1 {
        // An attempt that was cut short has given it a name; a lower one may be free since.
        let is_ours = |name: &FileName| is_same_file(source, &publish.dir.join(name.as_str()));
        if let Some(name) = names().find(|name| is_ours(name).unwrap_or(false)) {
            return Ok(name);
        }
    }
    for name in names() {
        if let Some(name) = link(source, &publish.dir, &name)? {
            return Ok(name);
        }
    }
    Err(io::Error::other("no free name is left for the file"))
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

fn overwrite(source: &Path, staged: &Path, publish: &Publish) -> io::Result<FileName> {
    if source != staged {
        remove_if_present(staged)?;
        fs::hard_link(source, staged)?;
    }
    fs::rename(staged, publish.dir.join(publish.name.as_str()))?;
    Ok(publish.name.clone())
}

fn copy(data: &Path, staged: &Path) -> io::Result<()> {
    if fs::symlink_metadata(staged).is_ok_and(|copy| copy.nlink() > 1) {
        // Whole, and published by an attempt that was cut short afterwards.
        return Ok(());
    }
    remove_if_present(staged)?;
    let mut to = File::create_new(staged)?;
    io::copy(&mut File::open(data)?, &mut to)?;
    to.sync_all()
}

fn same_filesystem(data: &Path, dir: &Path) -> io::Result<bool> {
    Ok(fs::metadata(data)?.dev() == fs::metadata(dir)?.dev())
}

fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok(one.dev() == other.dev() && one.ino() == other.ino())
}

/// The process's file mode mask. The system call that answers it also sets it, for all threads;
/// Linux shows it without.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}
