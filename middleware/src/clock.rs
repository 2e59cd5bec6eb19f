//! The time of day, and whether it can be believed.
//!
//! A machine without a clock of its own begins in 1970 and is set by the network later; a virtual
//! machine sleeps for a night. What is kept for a day must survive both. So time is read from two
//! clocks at once: where the time of day and the monotonic one disagree by over a minute between two
//! readings, somebody has set the clock, and ages are counted anew from there ([`Reading::since`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::upload::Timestamp;

/// Less is the clock being adjusted, not set.
const JUMP: Duration = Duration::from_secs(60);

/// Tells the time of day.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    wall: Box<dyn Fn() -> Timestamp + Send + Sync>,
    monotonic: Box<dyn Fn() -> Duration + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// The last reading of both clocks.
    last: (Timestamp, Duration),
    /// The same as in [`Reading`].
    since: Timestamp,
    /// What [`Reading::steady`] would be at zero of the monotonic clock.
    steady_origin: Timestamp,
}

/// What a clock says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time of day.
    pub now: Timestamp,
    /// Since when the time of day has run steadily: the start of the process, or the moment after
    /// the clock was last set.
    pub since: Timestamp,
    /// A time that never jumps: that of the start of the process, plus what has passed.
    pub steady: Timestamp,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        let started = Instant::now();
        Self::of(|| SystemTime::now().into(), move || started.elapsed())
    }

    /// A clock over a time of day, which may be set, and one that only runs on.
    #[must_use]
    pub fn of(
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
        monotonic: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let (now, passed) = (wall(), monotonic());
        let state = State {
            last: (now, passed),
            since: now,
            steady_origin: Timestamp(now.0.saturating_sub(millis(passed))),
        };
        Self(Arc::new(Inner {
            wall: Box::new(wall),
            monotonic: Box::new(monotonic),
            state: Mutex::new(state),
        }))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.read().now
    }

    /// The time of day, and what is known about it.
    #[must_use]
    pub fn read(&self) -> Reading {
        // No code that holds the lock can leave a half-made change behind.
        let state = self.0.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: two readings come in the order in which they are compared.
        let (now, passed) = ((self.0.wall)(), (self.0.monotonic)());
        let (last, last_passed) = std::mem::replace(&mut state.last, (now, passed));
        let expected = last.after(passed.saturating_sub(last_passed));
        if now.since(expected).max(expected.since(now)) > JUMP {
            state.since = now;
            tracing::warn!(
                from = %text(expected), to = %text(now),
                "the clock was set; uploads are kept for a while longer"
            );
        }
        Reading {
            now,
            since: state.since,
            steady: state.steady_origin.after(passed),
        }
    }
}

fn text(moment: Timestamp) -> impl std::fmt::Display {
    // Within the years that can be written.
    const LAST: u64 = 253_402_300_799_000;
    humantime::format_rfc3339_seconds(Timestamp(moment.0.min(LAST)).to_system_time())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MINUTE: u64 = 60_000;

    struct Set {
        clock: Clock,
        wall: Arc<AtomicU64>,
        passed: Arc<AtomicU64>,
    }

    impl Set {
        fn at(wall: u64) -> Self {
            let (wall, passed) = (Arc::new(AtomicU64::new(wall)), Arc::<AtomicU64>::default());
            let clock = {
                let (wall, passed) = (Arc::clone(&wall), Arc::clone(&passed));
                Clock::of(
                    move || Timestamp(wall.load(Ordering::Relaxed)),
                    move || Duration::from_millis(passed.load(Ordering::Relaxed)),
                )
            };
            Self {
                clock,
                wall,
                passed,
            }
        }

        fn runs(&self, wall: u64, passed: u64) -> Reading {
            self.wall.fetch_add(wall, Ordering::Relaxed);
            self.passed.fetch_add(passed, Ordering::Relaxed);
            self.clock.read()
        }

        fn is_set(&self, wall: u64) -> Reading {
            self.wall.store(wall, Ordering::Relaxed);
            self.clock.read()
        }
    }

    fn reading(now: u64, since: u64, steady: u64) -> Reading {
        Reading {
            now: Timestamp(now),
            since: Timestamp(since),
            steady: Timestamp(steady),
        }
    }

    #[test]
    fn a_clock_that_runs_is_believed_from_its_start() {
        let set = Set::at(1_000);
        assert_eq!(set.clock.read(), reading(1_000, 1_000, 1_000));
        let day = 24 * 60 * MINUTE;
        let next = set.runs(day, day);
        assert_eq!(next, reading(1_000 + day, 1_000, 1_000 + day));
        // It is slewed, by a minute each.
        for _ in 0..5 {
            assert_eq!(set.runs(MINUTE, 2 * MINUTE).since, Timestamp(1_000));
            assert_eq!(set.runs(2 * MINUTE, MINUTE).since, Timestamp(1_000));
        }
    }

    #[test]
    fn a_clock_that_is_set_is_believed_from_there() {
        let set = Set::at(0);
        let _ = set.runs(MINUTE, MINUTE);
        let later = 1_800_000_000_000;
        let jumped = set.is_set(later);
        assert_eq!(jumped, reading(later, later, MINUTE));
        // It runs on.
        let next = set.runs(MINUTE, MINUTE);
        assert_eq!(next, reading(later + MINUTE, later, 2 * MINUTE));
        let back = set.is_set(5 * MINUTE);
        assert_eq!(back, reading(5 * MINUTE, 5 * MINUTE, 2 * MINUTE));
        assert_eq!(set.is_set(0).since, Timestamp(0));
        assert_eq!(set.is_set(u64::MAX).since, Timestamp(u64::MAX));
    }

    /// The machine slept: its clock of uptime did not run.
    #[test]
    fn a_night_asleep_is_a_clock_that_was_set() {
        let set = Set::at(1_000);
        let night = 8 * 60 * MINUTE;
        assert_eq!(set.runs(night, 100).since, Timestamp(1_000 + night));
    }
}
