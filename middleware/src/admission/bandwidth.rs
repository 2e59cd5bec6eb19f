use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::bucket::{Bucket, Turn};
use super::who::Who;

/// A turn is looked at again after so long: the limit may have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Clients are looked through for those that can be forgotten when there are so many.
const SWEEP_MIN: usize = 64;

/// Bounds the bytes that a client may send in a second, over all its requests.
#[derive(Debug)]
pub struct Bandwidth {
    rate: Arc<AtomicU64>,
    began: Instant,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    of: HashMap<Who, Arc<Mutex<Bucket>>>,
    /// Forgotten are those that owe nothing and that no request has, as soon as there are so many.
    sweep_at: usize,
}

/// A request's part of its client's bandwidth.
#[derive(Debug)]
pub struct Lane {
    rate: Arc<AtomicU64>,
    began: Instant,
    bucket: Arc<Mutex<Bucket>>,
    /// The turn that has to come before more is read.
    turn: Option<Turn>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Bandwidth {
    /// In bytes per second; 0 is no limit.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self {
            rate: Arc::new(AtomicU64::new(rate)),
            began: Instant::now(),
            buckets: Mutex::new(Buckets {
                of: HashMap::new(),
                sweep_at: SWEEP_MIN,
            }),
        }
    }

    /// From now on this rate; requests that run go by it within a second, but for those that began
    /// while there was no limit.
    pub fn limit(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// What a request goes by; nothing where there is no limit.
    #[must_use]
    pub fn lane(&self, who: impl FnOnce() -> Who) -> Option<Lane> {
        let rate = self.rate.load(Ordering::Relaxed);
        (rate > 0).then(|| {
            let bucket = lock(&self.buckets).bucket(who(), self.began.elapsed(), rate);
            let turn = Some(lock(&bucket).turn());
            Lane {
                rate: Arc::clone(&self.rate),
                began: self.began,
                bucket,
                turn,
                timer: None,
            }
        })
    }

    /// How many clients are remembered.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        lock(&self.buckets).of.len()
    }
}

impl Buckets {
    fn bucket(&mut self, who: Who, now: Duration, rate: u64) -> Arc<Mutex<Bucket>> {
        if self.of.len() >= self.sweep_at {
            self.of.retain(|_, bucket| {
                Arc::strong_count(bucket) > 1 || !lock(bucket).is_paid(now, rate)
            });
            self.of.shrink_to_fit();
            self.sweep_at = SWEEP_MIN.max(2 * self.of.len());
        }
        Arc::clone(self.of.entry(who).or_default())
    }
}

impl Lane {
    /// Whether more may be read.
    pub fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(turn) = self.turn {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            let rate = self.rate.load(Ordering::Relaxed);
            let wait = match rate {
                0 => Duration::ZERO,
                rate => lock(&self.bucket).wait(turn, self.began.elapsed(), rate),
            };
            if wait.is_zero() {
                self.turn = None;
            } else {
                self.timer = Some(Box::pin(sleep(wait.min(LOOK_EVERY))));
            }
        }
        Poll::Ready(())
    }

    /// So many bytes were read.
    pub fn take(&mut self, bytes: u64) {
        if bytes > 0 && self.rate.load(Ordering::Relaxed) > 0 {
            self.turn = Some(lock(&self.bucket).take(bytes));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds a lock can leave a half-made change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
