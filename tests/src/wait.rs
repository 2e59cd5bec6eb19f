//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// The bound of an ordinary wait: far above what a healthy server needs.
pub const SOON: Duration = Duration::from_secs(20);

/// Polls `probe` until it answers, and returns the answer.
///
/// # Panics
/// When `limit` is over, with `what` in the message.
pub fn eventually<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Polls `probe` until it is true.
///
/// # Panics
/// As [`eventually`].
pub fn until(what: &str, limit: Duration, mut probe: impl FnMut() -> bool) {
    eventually(what, limit, || probe().then_some(()));
}
