use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(feature = "serve")]
const IN_FORCE: u8 = 0;
const LIFTED: u8 = 1;
#[cfg(feature = "serve")]
const PASSED: u8 = 2;

/// The limit on the time in which a request must have arrived: an extension of requests that an
/// accept loop puts there and keeps. Whatever has rules of its own for a body lifts it before the
/// body is read.
#[derive(Clone, Debug, Default)]
pub struct ReadLimit(Arc<AtomicU8>);

impl ReadLimit {
    /// The body is waited for without it.
    pub fn lift(&self) {
        self.0.store(LIFTED, Ordering::Relaxed);
    }

    /// Whether it still is to be kept.
    #[must_use]
    #[cfg(feature = "serve")]
    pub fn is_in_force(&self) -> bool {
        self.0.load(Ordering::Relaxed) == IN_FORCE
    }

    /// The time was up, and the body has ended.
    #[cfg(feature = "serve")]
    pub fn pass(&self) {
        self.0.store(PASSED, Ordering::Relaxed);
    }

    /// Whether it has ended the body.
    #[must_use]
    #[cfg(feature = "serve")]
    pub fn has_passed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PASSED
    }
}
