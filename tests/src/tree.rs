//! What lies in a directory: paths, modes and bytes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// One file or directory below a root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Path relative to the root.
    pub path: PathBuf,
    /// Permission bits, without the type.
    pub mode: u32,
    /// True for a directory.
    pub is_dir: bool,
    /// Length in bytes (0 for a directory).
    pub len: u64,
}

/// Everything below `root`, sorted by path; nothing when `root` does not exist.
/// Entries that vanish while they are listed are left out.
#[must_use]
pub fn list(root: &Path) -> Vec<Entry> {
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

fn walk(root: &Path, at: &Path, found: &mut Vec<Entry>) {
    let Ok(entries) = std::fs::read_dir(at) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        found.push(Entry {
            path: path.strip_prefix(root).unwrap_or(&path).to_owned(),
            mode: meta.permissions().mode() & 0o7777,
            is_dir: meta.is_dir(),
            len: if meta.is_dir() { 0 } else { meta.len() },
        });
        if meta.is_dir() {
            walk(root, &path, found);
        }
    }
}

/// The files below `root` with their bytes, sorted by path.
#[must_use]
pub fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = list(root).into_iter().filter(|entry| !entry.is_dir);
    files
        .filter_map(|entry| {
            Some((
                entry.path.clone(),
                std::fs::read(root.join(&entry.path)).ok()?,
            ))
        })
        .collect()
}

/// The files below `root` whose content is exactly `bytes`.
#[must_use]
pub fn holding(root: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let same = files(root)
        .into_iter()
        .filter(|(_, content)| content == bytes);
    same.map(|(path, _)| path).collect()
}

/// The largest file below `root` whose name ends in `suffix`.
#[must_use]
pub fn largest(root: &Path, suffix: &str) -> Option<PathBuf> {
    let named = list(root)
        .into_iter()
        .filter(|entry| !entry.is_dir && entry.path.to_string_lossy().ends_with(suffix));
    named
        .max_by_key(|entry| entry.len)
        .map(|entry| root.join(entry.path))
}
