use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What deduplication has done since the start; a handle on counters that only grow.
#[derive(Clone, Debug, Default)]
pub struct Saved(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    files: AtomicU64,
    bytes: AtomicU64,
    hashed: AtomicU64,
}

impl Saved {
    /// Files that got to share the space of another one.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.0.files.load(Ordering::Relaxed)
    }

    /// Bytes on the disk that they no longer need.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Files that were read to compute their SHA-256.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.0.hashed.load(Ordering::Relaxed)
    }

    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pub(super) fn shared(&self, bytes: u64) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pub(super) fn read_one(&self) {
        self.0.hashed.fetch_add(1, Ordering::Relaxed);
    }
}
