//! Where a short file operation runs: on the task that needs it, or on a blocking thread.
//!
//! A positioned write into the page cache takes microseconds, and handing it to another thread
//! costs more than the write. But the same call can take seconds once the disk falls behind, and
//! a runtime whose workers all sit in such calls answers nobody. So:
//!
//! 1. At most *worker threads - 1* operations run inline at once, the next ones wait for their turn
//!    without holding a worker; a `current_thread` runtime never runs one inline.
//! 2. An operation that waited over 10 ms sends all that follow to blocking threads for a second.
//!    Those are timed as well: while the disk is slow, the second begins anew with every one of them,
//!    and no worker has to try.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use nix::sys::resource::{UsageWho, getrusage};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

/// Times that somebody else may be quicker before an operation goes to a blocking thread.
const WAITS_MAX: usize = 16;
const SLOW: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_secs(1);

/// The pace of one filesystem.
#[derive(Debug)]
pub struct Pace {
    inline_max: usize,
    /// Turns taken.
    inline: AtomicUsize,
    /// Told when a turn ends. Whoever comes first takes it: handing it to the one who waited
    /// longest would let every other wait as well, and wake a thread for every write.
    turn_over: Notify,
    started: Instant,
    /// Milliseconds after `started` until which nothing runs inline.
    rest_until: AtomicU64,
}

/// The right to run one operation inline.
#[derive(Debug)]
pub struct Turn<'a>(&'a Pace);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.inline.fetch_sub(1, Ordering::AcqRel);
        self.0.turn_over.notify_one();
    }
}

impl Turn<'_> {
    /// Runs `operation` here.
    pub fn run<T>(self, operation: impl FnOnce() -> T) -> T {
        self.0.time(operation)
    }
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
            turn_over: Notify::new(),
            started: Instant::now(),
            rest_until: AtomicU64::new(0),
        }
    }

    /// A turn, if there is one at once.
    pub fn turn_now(&self) -> Option<Turn<'_>> {
        let free = |taken: usize| (taken < self.inline_max).then_some(taken + 1);
        let taken = self
            .inline
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, free);
        let turn = taken.ok().map(|_| Turn(self))?;
        self.runs_inline().then_some(turn)
    }

    /// A turn when it comes, or `None` when the operation belongs on a blocking thread.
    pub async fn turn(&self) -> Option<Turn<'_>> {
        for _ in 0..WAITS_MAX {
            if !self.runs_inline() {
                break;
            }
            let turn_over = self.turn_over.notified();
            if let Some(turn) = self.turn_now() {
                return Some(turn);
            }
            turn_over.await;
        }
        // Whoever leaves without a turn passes the news on: the next one may be waiting for it.
        self.turn_over.notify_one();
        None
    }

    /// Whether operations run inline now, at once or in turn.
    pub fn runs_inline(&self) -> bool {
        let until = self.rest_until.load(Ordering::Relaxed);
        self.inline_max > 0 && (until == 0 || self.millis(Instant::now()) >= until)
    }

    /// Runs `operation` on a blocking thread that the caller has come to, and learns from it how
    /// quick the disk is.
    pub fn time<T>(&self, operation: impl FnOnce() -> T) -> T {
        let (begun, slept) = (Instant::now(), times_slept());
        let result = operation();
        // A thread that was merely pushed off its core did not wait for the disk.
        let is_slow = begun.elapsed() > SLOW && (slept.is_none() || times_slept() != slept);
        if is_slow {
            self.rest(Instant::now());
        }
        result
    }

    fn rest(&self, from: Instant) {
        let until = self.millis(from + REST);
        self.rest_until.fetch_max(until, Ordering::Relaxed);
    }

    fn millis(&self, moment: Instant) -> u64 {
        millis(moment.saturating_duration_since(self.started))
    }
}

/// How often this thread has waited for something, where the system tells.
#[cfg(target_os = "linux")]
fn times_slept() -> Option<i64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    Some(usage.voluntary_context_switches())
}

#[cfg(not(target_os = "linux"))]
fn times_slept() -> Option<i64> {
    None
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_single_worker_runs_nothing_inline() {
        let pace = Pace::for_runtime();
        assert!(pace.turn_now().is_none());
        assert!(pace.turn().await.is_none());
    }

    #[tokio::test]
    async fn turns_bound_what_runs_at_once_and_come_back() {
        let pace = Pace::new(1);
        let turn = pace.turn_now().unwrap();
        assert!(pace.turn_now().is_none());
        let mut next = std::pin::pin!(pace.turn());
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx).is_pending()))
                .await
        );
        assert_eq!(turn.run(|| 1), 1);
        assert_eq!(next.await.unwrap().run(|| 2), 2);
    }

    #[test]
    fn a_slow_operation_sends_the_next_ones_away_for_a_second_after_it() {
        let pace = Pace::new(1);
        pace.rest(pace.started);
        assert!(pace.turn_now().is_none());
        assert_eq!(pace.rest_until.load(Ordering::Relaxed), 1_000);
        // The last slow one counts, in whatever order they end.
        pace.rest(pace.started + REST);
        pace.rest(pace.started);
        assert_eq!(pace.rest_until.load(Ordering::Relaxed), 2_000);
    }

    #[test]
    fn a_rest_ends() {
        let mut pace = Pace::new(1);
        pace.started = Instant::now() - Duration::from_secs(5);
        pace.rest(pace.started);
        assert!(pace.turn_now().is_some());
    }

    #[test]
    fn only_a_thread_that_waited_was_slow() {
        let pace = Pace::new(1);
        let begun = Instant::now();
        pace.time(|| {
            while begun.elapsed() < SLOW * 2 {
                std::hint::spin_loop();
            }
        });
        assert!(cfg!(not(target_os = "linux")) || pace.runs_inline());
        let (_waited_for, waiting) = std::sync::mpsc::channel::<()>();
        pace.time(|| waiting.recv_timeout(SLOW * 2).unwrap_err());
        assert!(!pace.runs_inline());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_when_a_rest_begins() {
        let pace = Pace::new(1);
        let turn = pace.turn_now().unwrap();
        let (mut one, mut other) = (Box::pin(pace.turn()), Box::pin(pace.turn()));
        std::future::poll_fn(|cx| {
            assert!(one.as_mut().poll(cx).is_pending() && other.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        pace.rest(Instant::now());
        drop(turn);
        assert!(one.await.is_none());
        assert!(other.await.is_none());
    }
}
