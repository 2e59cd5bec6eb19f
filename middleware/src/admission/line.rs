use std::time::Duration;

use tokio::time::Instant;

use super::scale::{Limits, Scale};

/// How long a request waits for the queue to have room.
const PATIENCE: Duration = Duration::from_secs(2);

/// How it is with the workers and their queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Workers there may be now.
    pub workers: usize,
    /// Uploads whose chunks wait for one.
    pub queue: usize,
    /// Requests that wait for room in the queue.
    pub asking: usize,
    /// Requests that have had to, since the start.
    pub waits: u64,
    /// Those of them that were refused.
    pub refused: u64,
}

/// Uploads whose chunks wait for a worker, and requests that may not bring more yet.
#[derive(Debug)]
pub(super) struct Line {
    size: usize,
    scale: Scale,
    len: usize,
    /// How often it was full and has room again.
    openings: u64,
    asking: usize,
    waits: u64,
    refused: u64,
}

/// A request that found no room.
#[derive(Debug)]
pub(super) struct Asking {
    since: Instant,
    openings: u64,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There was room since.
    Come,
    /// There may be, until then.
    Wait(Instant),
    /// It has waited long enough.
    Refused,
}

impl Line {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            size: limits.queue,
            scale: Scale::new(limits),
            len: 0,
            openings: 0,
            asking: 0,
            waits: 0,
            refused: 0,
        }
    }

    /// Has other limits from now on: whether there is room where there was none.
    pub(super) fn limit(&mut self, limits: Limits, now: Instant) -> bool {
        let was_full = self.is_full();
        self.size = limits.queue;
        self.scale.limit(limits);
        self.scale.changed(self.len, now);
        let opens = was_full && !self.is_full();
        self.openings += u64::from(opens);
        opens
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.size
    }

    /// An upload waits from now on, with chunks whose last byte has arrived.
    pub(super) fn enter(&mut self, now: Instant) {
        self.len += 1;
        self.scale.changed(self.len, now);
    }

    /// A worker has begun with one, or nobody wants it any more: whether there is room again.
    pub(super) fn leave(&mut self, now: Instant) -> bool {
        let was_full = self.is_full();
        self.len -= 1;
        self.scale.changed(self.len, now);
        let opens = was_full && !self.is_full();
        self.openings += u64::from(opens);
        opens
    }

    /// Adds or takes away a worker, if it is time.
    pub(super) fn adjust(&mut self, now: Instant) {
        self.scale.adjust(self.len, now);
    }

    /// A request has come and is to bring bytes: nothing, if it may.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Asking> {
        if !self.is_full() {
            return None;
        }
        self.asking += 1;
        self.waits += 1;
        Some(Asking {
            since: now,
            openings: self.openings,
        })
    }

    /// How it is with a request now. Room that there was since it came counts, even when others
    /// have taken it by now: nobody is kept waiting by those who are quicker.
    pub(super) fn verdict(&mut self, asking: &Asking, now: Instant) -> Verdict {
        let until = asking.since + PATIENCE;
        if asking.openings != self.openings {
            Verdict::Come
        } else if now < until {
            Verdict::Wait(until)
        } else {
            self.refused += 1;
            Verdict::Refused
        }
    }

    /// A request waits no more, whatever became of it.
    pub(super) fn end(&mut self) {
        self.asking -= 1;
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            workers: self.scale.workers(),
            queue: self.len,
            asking: self.asking,
            waits: self.waits,
            refused: self.refused,
        }
    }
}
