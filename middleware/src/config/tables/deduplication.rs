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
    /// Which files may become one by `method = "hardlink"`.
    pub times: Times,
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

/// What becomes of the times of files that turn into names of one file, which has but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// `"keep"`: they never change. Only files that were last modified at the same instant are linked.
    Keep,
    /// `"newest"`: all names show the time of the newest one.
    Newest,
}

const METHODS: &[(&str, Method)] = &[("reflink", Method::Reflink), ("hardlink", Method::Hardlink)];

const TIMES: &[(&str, Times)] = &[("keep", Times::Keep), ("newest", Times::Newest)];

impl Default for Deduplication {
    fn default() -> Self {
        Self {
            enabled: true,
            maxsize: GB,
            directory: None,
            method: Method::Reflink,
            times: Times::Keep,
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
        key("deduplication.times", Choice(TIMES), |c| {
            &mut c.deduplication.times
        }),
    ]
}
