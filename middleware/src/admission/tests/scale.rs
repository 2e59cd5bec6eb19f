//! How the number of workers follows the length of the queue.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::admission::Limits;
use crate::admission::scale::Scale;
use crate::config::UploadConfig;

const SECOND: Duration = Duration::from_secs(1);

const LIMITS: Limits = Limits {
    queue: 50,
    base: 2,
    max: 5,
    add_at: 50,
    remove_at: 10,
};

/// A scale, the time, and the length of the queue.
struct Watched {
    scale: Scale,
    now: Instant,
}

impl Watched {
    fn new(limits: Limits) -> Self {
        Self {
            scale: Scale::new(limits),
            now: Instant::now(),
        }
    }

    /// The queue has had this length for `time` now: how many workers there are, as seen every
    /// tenth of a second.
    fn workers_after(&mut self, len: usize, time: Duration) -> usize {
        self.scale.changed(len, self.now);
        let end = self.now + time;
        loop {
            let before = self.scale.workers();
            let changed = self.scale.adjust(len, self.now);
            assert_eq!(changed, before != self.scale.workers());
            if self.now >= end {
                return self.scale.workers();
            }
            self.now = end.min(self.now + SECOND / 10);
        }
    }
}

#[test]
fn a_long_queue_adds_a_worker_a_second_up_to_the_most() {
    let mut watched = Watched::new(LIMITS);
    assert_eq!(watched.workers_after(49, 60 * SECOND), 2);
    assert_eq!(watched.workers_after(50, Duration::ZERO), 3);
    assert_eq!(watched.workers_after(500, SECOND * 9 / 10), 3);
    assert_eq!(watched.workers_after(50, SECOND / 10), 4);
    assert_eq!(watched.workers_after(50, 60 * SECOND), 5);
}

#[test]
fn a_queue_that_stays_short_has_one_go_every_ten_seconds_down_to_the_base() {
    let mut watched = Watched::new(LIMITS);
    assert_eq!(watched.workers_after(50, 3 * SECOND), 5);
    assert_eq!(watched.workers_after(10, SECOND * 99 / 10), 5);
    assert_eq!(watched.workers_after(10, SECOND / 10), 4);
    assert_eq!(watched.workers_after(0, SECOND * 99 / 10), 4);
    assert_eq!(watched.workers_after(0, SECOND / 10), 3);
    assert_eq!(watched.workers_after(0, 3600 * SECOND), 2);
}

#[test]
fn between_the_thresholds_nothing_changes() {
    let mut watched = Watched::new(LIMITS);
    assert_eq!(watched.workers_after(50, SECOND), 4);
    for len in [11, 49, 30] {
        assert_eq!(watched.workers_after(len, 60 * SECOND), 4);
    }
    // A moment at which it is not short begins the time anew.
    for _ in 0..10 {
        assert_eq!(watched.workers_after(0, 9 * SECOND), 4);
        assert_eq!(watched.workers_after(11, Duration::ZERO), 4);
    }
    assert_eq!(watched.workers_after(0, 10 * SECOND), 3);
}

/// Nobody may have looked for long.
#[test]
fn what_was_due_meanwhile_is_made_up_for_at_once() {
    let mut watched = Watched::new(LIMITS);
    assert_eq!(watched.workers_after(50, 3 * SECOND), 5);
    watched.scale.changed(0, watched.now);
    watched.now += 25 * SECOND;
    assert!(watched.scale.adjust(0, watched.now));
    assert_eq!(watched.scale.workers(), 3);
    watched.now += 5 * SECOND;
    assert!(watched.scale.adjust(0, watched.now));
    assert_eq!(watched.scale.workers(), 2);
}

#[test]
fn the_limits_are_those_of_the_configuration() {
    let mut config = UploadConfig::default();
    config.workers.numworkers = 3;
    config.workers.max_workers = 7;
    config.workers.uploadqueuesize = 40;
    config.server.worker_scale_up_thresh = 30;
    config.server.worker_scale_down_thresh = 5;
    let mut watched = Watched::new(Limits::of(&config));
    assert_eq!(watched.workers_after(29, 60 * SECOND), 3);
    assert_eq!(watched.workers_after(30, 60 * SECOND), 7);
    assert_eq!(watched.workers_after(5, 60 * SECOND), 3);
    assert_eq!(Limits::of(&config).queue, 40);
    config.workers.uploadqueuesize = 4;
    let limits = Limits::of(&config);
    assert_eq!(
        (limits.add_at, limits.remove_at),
        (4, 3),
        "it gets no longer"
    );
    config.server.enable_dynamic_workers = false;
    let mut fixed = Watched::new(Limits::of(&config));
    assert_eq!(fixed.workers_after(1_000, 60 * SECOND), 3);
}

proptest! {
    /// Whatever the queue does: never below the base nor above the most; one more only at the upper
    /// threshold, fewer only at the lower one, and never two more within a second.
    #[test]
    fn whatever_the_queue_does(steps in vec((0..80_usize, 0..5_000_u64), 0..200)) {
        let mut watched = Watched::new(LIMITS);
        let mut added: Option<Instant> = None;
        for (len, millis) in steps {
            watched.scale.changed(len, watched.now);
            let before = watched.scale.workers();
            watched.scale.adjust(len, watched.now);
            let after = watched.scale.workers();
            prop_assert!((LIMITS.base..=LIMITS.max).contains(&after));
            if after > before {
                prop_assert!(after == before + 1 && len >= LIMITS.add_at);
                prop_assert!(added.is_none_or(|added| watched.now - added >= SECOND));
                added = Some(watched.now);
            }
            prop_assert!(after >= before || len <= LIMITS.remove_at);
            watched.now += Duration::from_millis(millis);
        }
    }
}
