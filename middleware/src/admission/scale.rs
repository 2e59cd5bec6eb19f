use std::time::Duration;

use tokio::time::Instant;

use crate::config::UploadConfig;

/// After a worker was added the queue gets so long to become shorter before the next one is.
const ADD_EVERY: Duration = Duration::from_secs(1);
/// The queue must have been short for so long before a worker goes, and again for the next one.
const SHORT_FOR: Duration = Duration::from_secs(10);

/// How many workers there may be, and when.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Uploads that wait for a worker while requests still may bring more.
    pub queue: usize,
    /// Workers there are at least.
    pub base: usize,
    /// Workers there are at most.
    pub max: usize,
    /// The queue length at which one is added.
    pub add_at: usize,
    /// The queue length at or below which one goes.
    pub remove_at: usize,
}

impl Limits {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &UploadConfig) -> Self {
        let (server, workers) = (&config.server, &config.workers);
        // A queue gets little longer than full.
        let add_at = server.worker_scale_up_thresh.min(workers.uploadqueuesize);
        Self {
            queue: workers.uploadqueuesize,
            base: workers.numworkers,
            max: match server.enable_dynamic_workers {
                true => workers.max_workers,
                false => workers.numworkers,
            },
            add_at,
            remove_at: server.worker_scale_down_thresh.min(add_at - 1),
        }
    }
}

/// The number of workers, as the length of the queue has it.
///
/// A queue whose length lies between the two thresholds changes nothing. One that comes to the upper
/// one adds a worker, a second after the last one at the soonest; one that stays at or below the
/// lower one for ten seconds has one go.
#[derive(Debug)]
pub(super) struct Scale {
    limits: Limits,
    workers: usize,
    added: Option<Instant>,
    /// Since when the queue has been short, or the last worker has gone in that time.
    short_since: Option<Instant>,
}

impl Scale {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            workers: limits.base,
            added: None,
            short_since: None,
        }
    }

    /// Has other limits from now on.
    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        self.workers = self.workers.min(limits.max).max(limits.base);
    }

    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// The queue has this length from now on.
    pub(super) fn changed(&mut self, len: usize, now: Instant) {
        if len > self.limits.remove_at {
            self.short_since = None;
        } else {
            self.short_since.get_or_insert(now);
        }
    }

    /// The queue has this length: whether that changes the number of workers.
    pub(super) fn adjust(&mut self, len: usize, now: Instant) -> bool {
        let before = self.workers;
        while let Some(due) = self.short_since.map(|since| since + SHORT_FOR)
            && due <= now
            && self.workers > self.limits.base
        {
            self.workers -= 1;
            self.short_since = Some(due);
        }
        let is_due = self.added.is_none_or(|added| now >= added + ADD_EVERY);
        if len >= self.limits.add_at && self.workers < self.limits.max && is_due {
            self.workers += 1;
            self.added = Some(now);
        }
        self.workers != before
    }
}
