use std::path::PathBuf;

use crate::config::key::{Key, key};
use crate::config::kind::{Choice, FilePath, Flag, Optional, Size};
use crate::config::units::{GB, SIZE_MAX};

/// `[deduplication]`: files with the same content share their space (seed: network resilience guide).
#[derive(Debug, Clone)]
pub struct Deduplication {
    /// Whether it runs, given a directory (seed).
    pub enabled: bool,
    /// The largest file that is looked at, in bytes (seed).
    pub maxsize: u64,
    /// The directory the handler stores files in. Not set: nothing runs, but in store mode
    /// `delivery.storage_path` is used.
    pub directory: Option<PathBuf>,
    /// How space is shared.
    pub method: Method,
}

/// How two files share their space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `"reflink"`: shared extents, compared by the kernel; later writes to one file leave the
    /// other alone.
    Reflink,
    /// `"hardlink"`: one file with two names, for handlers that never write a stored file in place.
    Hardlink,
}

const METHODS: &[(&str, Method)] = &[("reflink", Method::Reflink), ("hardlink", Method::Hardlink)];

impl Default for Deduplication {
    fn default() -> Self {
        Self {
            enabled: true,
            maxsize: GB,
            directory: None,
            method: Method::Reflink,
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    vec![
        key("deduplication.enabled", Flag, |c| {
            &mut c.deduplication.enabled
        }),
        key("deduplication.maxsize", Size(1..=SIZE_MAX), |c| {
            &mut c.deduplication.maxsize
        }),
        key("deduplication.directory", Optional(FilePath), |c| {
            &mut c.deduplication.directory
        }),
        key("deduplication.method", Choice(METHODS), |c| {
            &mut c.deduplication.method
        }),
    ]
}
