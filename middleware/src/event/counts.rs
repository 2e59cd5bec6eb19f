use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::happening::What;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it has come to.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted of a layer.
#[derive(Debug)]
pub struct Counts {
    happened: [Counter; What::ALL.len()],
    /// Bytes that requests have brought, whatever became of them.
    pub received_bytes: Counter,
    /// Chunks that are safe, and their bytes.
    pub chunks: Counter,
    /// See [`Counts::chunks`].
    pub chunk_bytes: Counter,
    /// Chunks that were sent again and held already.
    pub duplicates: Counter,
    /// Requests that had to give way to newer ones for the same bytes.
    pub takeovers: Counter,
    /// Pauses for the network, and by hand.
    pub pauses: [Counter; 2],
    /// How long chunks waited for their flush.
    pub flushes: Histogram,
    /// How long handlers, or publications, took.
    pub handoffs: Histogram,
    handed_over: [Counter; Handoff::ALL.len()],
    /// By code; there are as many as the program names.
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

/// What became of an attempt to hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handoff {
    /// The handler took the file.
    Completed,
    /// It refused it.
    Rejected,
    /// It is to be asked again.
    Undelivered,
    /// Nobody can tell.
    Unknown,
}

impl Handoff {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Completed,
        Self::Rejected,
        Self::Undelivered,
        Self::Unknown,
    ];

    /// As a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Undelivered => "undelivered",
            Self::Unknown => "unknown",
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            happened: Default::default(),
            received_bytes: Counter::default(),
            chunks: Counter::default(),
            chunk_bytes: Counter::default(),
            duplicates: Counter::default(),
            takeovers: Counter::default(),
            pauses: Default::default(),
            flushes: Histogram::new(FLUSH_SECONDS),
            handoffs: Histogram::new(HANDOFF_SECONDS),
            handed_over: Default::default(),
            refusals: Mutex::default(),
        }
    }
}

impl Counts {
    pub(super) fn count(&self, what: What) {
        self.happened[what as usize].add(1);
    }

    /// How often that has happened to an upload.
    #[must_use]
    pub fn happened(&self, what: What) -> u64 {
        self.happened[what as usize].sum()
    }

    /// Counts an attempt to hand over.
    pub fn handed_over(&self, outcome: Handoff, took: Duration) {
        self.handed_over[outcome as usize].add(1);
        self.handoffs.observe(took);
    }

    /// How many attempts have come to that.
    #[must_use]
    pub fn handoffs(&self, outcome: Handoff) -> u64 {
        self.handed_over[outcome as usize].sum()
    }

    /// Counts a refusal by its code.
    pub fn refused(&self, code: &'static str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(code).or_default() += 1;
    }

    /// Refusals so far, by code.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        let refusals = self.refusals.lock();
        refusals.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const FLUSH_SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];
const HANDOFF_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// How long something took, by size.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds in seconds, in order.
    bounds: &'static [f64],
    /// One more than bounds: the last one has none.
    buckets: Box<[Counter]>,
    micros: Counter,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            micros: Counter::default(),
        }
    }

    /// Adds one.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].add(1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.add(micros);
    }

    /// Bounds in seconds, each with the number of those that took so long at most; all of them
    /// under infinity.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let sums = self.buckets.iter().scan(0, |sum, bucket| {
            *sum += bucket.sum();
            Some(*sum)
        });
        bounds.zip(sums)
    }

    /// How long all took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.micros.sum())
    }
}
