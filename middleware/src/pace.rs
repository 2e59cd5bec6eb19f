//! Where a short file operation runs: on the task that needs it, or on a blocking thread.
//!
//! A positioned write into the page cache takes microseconds, and handing it to another thread
//! costs more than the write. But the same call can take seconds once the disk falls behind, and
//! a runtime whose workers all sit in such calls answers nobody. So:
//!
//! 1. At most *worker threads - 1* operations run inline at once; a `current_thread` runtime
//!    never runs one inline.
//! 2. An operation that took over 10 ms sends all that follow to blocking threads for a second;
//!    when the first one afterwards is slow again, for twice as long, up to 30 s.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

const SLOW: Duration = Duration::from_millis(10);
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);

/// The pace of one filesystem.
#[derive(Debug)]
pub struct Pace {
    inline_max: usize,
    inline: AtomicUsize,
    started: Instant,
    /// Milliseconds after `started` until which nothing runs inline.
    rest_until: AtomicU64,
    /// Length of the last rest in milliseconds.
    rest: AtomicU64,
}

impl Pace {
    /// The pace for the runtime of the caller; outside of one, nothing runs inline.
    #[must_use]
    pub fn for_runtime() -> Self {
        let workers = match Handle::try_current() {
            Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
                handle.metrics().num_workers()
            }
            _ => 1,
        };
        Self::new(workers.saturating_sub(1))
    }

    /// A pace with at most `inline_max` operations inline at once.
    #[must_use]
    pub fn new(inline_max: usize) -> Self {
        Self {
            inline_max,
            inline: AtomicUsize::new(0),
            started: Instant::now(),
            rest_until: AtomicU64::new(0),
            rest: AtomicU64::new(0),
        }
    }

    /// Runs `operation` here and answers its result, or `None` without running it: then it
    /// belongs on a blocking thread.
    pub fn inline<T>(&self, operation: impl FnOnce() -> T) -> Option<T> {
        let begun = Instant::now();
        if self.millis(begun) < self.rest_until.load(Ordering::Relaxed) {
            return None;
        }
        let _slot = Slot::take(self)?;
        let result = operation();
        self.judge(begun, begun.elapsed());
        Some(result)
    }

    fn judge(&self, begun: Instant, took: Duration) {
        if took > SLOW {
            let rested = Duration::from_millis(self.rest.load(Ordering::Relaxed));
            let rest = (rested * 2).clamp(REST_MIN, REST_MAX);
            self.rest.store(millis(rest), Ordering::Relaxed);
            self.rest_until
                .store(self.millis(begun) + millis(took + rest), Ordering::Relaxed);
        } else if self.rest.load(Ordering::Relaxed) > 0 && self.is_calm(begun) {
            self.rest.store(0, Ordering::Relaxed);
        }
    }

    /// Whether inline operations were quick for as long as the last rest was.
    fn is_calm(&self, now: Instant) -> bool {
        let rest = self.rest.load(Ordering::Relaxed);
        self.millis(now) > self.rest_until.load(Ordering::Relaxed) + rest
    }

    fn millis(&self, moment: Instant) -> u64 {
        millis(moment.saturating_duration_since(self.started))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    fn take(pace: &'a Pace) -> Option<Self> {
        let taken = pace.inline.fetch_add(1, Ordering::Relaxed);
        let slot = Self(&pace.inline);
        (taken < pace.inline_max).then_some(slot)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_worker_runs_nothing_inline() {
        assert_eq!(Pace::new(0).inline(|| 1), None);
    }

    #[test]
    fn slots_bound_what_runs_at_once_and_come_back() {
        let pace = Pace::new(1);
        assert_eq!(pace.inline(|| pace.inline(|| 1)), Some(None));
        assert_eq!(pace.inline(|| 1), Some(1));
    }

    #[test]
    fn a_slow_operation_sends_the_next_ones_away_for_longer_each_time() {
        let pace = Pace::new(1);
        let begun = pace.started;
        pace.judge(begun, Duration::from_millis(11));
        assert_eq!(pace.inline(|| 1), None);
        assert_eq!(pace.rest.load(Ordering::Relaxed), 1_000);
        pace.judge(begun, Duration::from_millis(11));
        assert_eq!(pace.rest.load(Ordering::Relaxed), 2_000);
        pace.judge(begun + Duration::from_secs(60), Duration::from_millis(1));
        assert_eq!(pace.rest.load(Ordering::Relaxed), 0);
    }
}
