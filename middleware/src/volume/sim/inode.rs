use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::{PAGE, Rng};

/// A file: what reads show, and what the disk has.
#[derive(Debug, Default)]
pub(super) struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    /// Pages written since the last flush, in all the versions they had.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Lengths the file had since the last flush.
    lengths: Vec<usize>,
    pub(super) modified: Duration,
}

impl Inode {
    pub(super) fn new(modified: Duration) -> Self {
        Self {
            modified,
            ..Self::default()
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.cache.resize(end, 0);
            self.lengths.push(end);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        for page in offset / PAGE..end.div_ceil(PAGE) {
            let version = page_of(&self.cache, page).to_vec();
            self.dirty.entry(page).or_default().push(version);
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> io::Result<()> {
        let held = self.cache.get(offset..offset + buffer.len());
        buffer.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.cache.resize(len, 0);
        self.lengths.push(len);
        self.dirty.retain(|page, _| page * PAGE < len);
        if !len.is_multiple_of(PAGE) {
            let version = page_of(&self.cache, len / PAGE).to_vec();
            self.dirty.entry(len / PAGE).or_default().push(version);
        }
    }

    pub(super) fn flush(&mut self) {
        self.disk.resize(self.cache.len(), 0);
        for &page in self.dirty.keys() {
            let bytes = page_of(&self.cache, page);
            let start = page * PAGE;
            self.disk[start..start + bytes.len()].copy_from_slice(bytes);
        }
        self.settle();
    }

    /// A flush fails: the pages are taken for clean, and the disk has none of them.
    pub(super) fn lose(&mut self) {
        self.disk.resize(self.cache.len(), 0);
        self.settle();
    }

    fn settle(&mut self) {
        self.dirty.clear();
        self.lengths.clear();
    }

    /// What is not dirty comes from the disk again.
    pub(super) fn forget_cache(&mut self) {
        let mut seen = self.disk.clone();
        seen.resize(self.cache.len(), 0);
        for &page in self.dirty.keys() {
            let bytes = page_of(&self.cache, page);
            let start = page * PAGE;
            seen[start..start + bytes.len()].copy_from_slice(bytes);
        }
        self.cache = seen;
    }

    /// The power is cut.
    pub(super) fn cut(&mut self, rng: &mut Rng, stale: &[u8]) {
        let len = match rng.index(self.lengths.len() + 2) {
            0 => self.disk.len(),
            1 => self.cache.len(),
            other => self.lengths[other - 2],
        };
        let written = self.disk.len();
        self.disk.resize(len, 0);
        if len > written && !stale.is_empty() && rng.chance(30) {
            let from = rng.index(stale.len() / PAGE) * PAGE;
            for (byte, old) in self.disk[written..].iter_mut().zip(&stale[from..]) {
                *byte = *old;
            }
        }
        let keep = rng.below(3) * 50;
        for (page, versions) in std::mem::take(&mut self.dirty) {
            let start = page * PAGE;
            if start >= len || !rng.chance(keep) {
                continue;
            }
            let version = match rng.below(3) {
                0 => &versions[rng.index(versions.len())],
                _ => &versions[versions.len() - 1],
            };
            let end = len.min(start + version.len());
            // Torn within the page, now and then.
            let kept = match rng.chance(10) {
                true => rng.index(end - start + 1),
                false => end - start,
            };
            self.disk[start..start + kept].copy_from_slice(&version[..kept]);
        }
        self.cache.clone_from(&self.disk);
        self.settle();
    }
}

fn page_of(bytes: &[u8], page: usize) -> &[u8] {
    let start = (page * PAGE).min(bytes.len());
    &bytes[start..bytes.len().min(start + PAGE)]
}
