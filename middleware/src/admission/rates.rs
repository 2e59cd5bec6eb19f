use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::who::{Origin, Who};
use crate::config::{Limits, Live};

/// Clients that are told apart at once, some 100 bytes each. One that has rested is forgotten, so it
/// takes as many times `requests_per_second` a second to get there.
const CLIENTS_MAX: usize = 100_000;

/// How many requests a second a client may send, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// That of `[limits]`, where there is one.
    #[must_use]
    pub fn of(limits: &Limits) -> Option<Self> {
        let count = |count| NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
        let per_second = count(limits.requests_per_second)?;
        let burst = count(limits.burst).unwrap_or(per_second);
        Some(Self { per_second, burst })
    }
}

/// Counts the requests of clients.
#[derive(Debug)]
pub struct Rates(Live<Option<Limited>>);

impl Rates {
    /// By this rate, or without a limit.
    #[must_use]
    pub fn new(rate: Option<Rate>) -> Self {
        Self(Live::new(Arc::new(rate.map(Limited::new))))
    }

    /// From now on by this rate. Where that is another one, everybody begins anew.
    pub fn limit(&self, rate: Option<Rate>) {
        let before = self.0.now();
        if before.as_ref().as_ref().map(|limited| limited.rate) != rate {
            self.0.replace(Arc::new(rate.map(Limited::new)));
        }
    }

    /// Whether there is a limit.
    #[must_use]
    pub fn are_limited(&self) -> bool {
        self.0.now().is_some()
    }

    /// Counts a request.
    ///
    /// # Errors
    /// For how long this client is to send none; it was not counted then.
    pub fn check(&self, who: &Who) -> Result<(), Duration> {
        match self.0.now().as_ref() {
            Some(limited) => limited.check(who),
            None => Ok(()),
        }
    }

    /// Forgets clients that have rested for long enough to have everything again.
    pub fn forget_rested(&self) {
        if let Some(limited) = self.0.now().as_ref() {
            limited.forget_rested();
        }
    }

    /// How many clients are remembered.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.0
            .now()
            .as_ref()
            .as_ref()
            .map_or(0, |limited| limited.clients.len())
    }
}

#[derive(Debug)]
struct Limited {
    rate: Rate,
    clock: Running,
    clients: RateLimiter<Who, Clients, Running, NoOpMiddleware<Duration>>,
    /// The second in which the rested were last forgotten for want of room.
    forgot: AtomicU64,
}

impl Limited {
    fn new(rate: Rate) -> Self {
        let clock = Running(Instant::now());
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            rate,
            clock,
            clients: RateLimiter::new(quota, Clients::default(), clock),
            forgot: AtomicU64::new(0),
        }
    }

    fn check(&self, who: &Who) -> Result<(), Duration> {
        if self.clients.len() >= CLIENTS_MAX {
            // Looking at all of them takes a while: not for each one that comes.
            let second = self.clock.now().as_secs();
            if self.forgot.fetch_max(second, Ordering::Relaxed) < second {
                self.forget_rested();
            }
        }
        let checked = self.clients.check_key(who);
        checked.map_err(|until| until.wait_time_from(self.clock.now()))
    }

    fn forget_rested(&self) {
        self.clients.retain_recent();
        self.clients.shrink_to_fit();
    }
}

/// The time since a limit began to hold.
#[derive(Clone, Copy, Debug)]
struct Running(Instant);

impl Clock for Running {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// When each client has everything again.
///
/// Where there are as many as there may be, all others count as one, with those that nobody knows the
/// address of: what is limited stays limited, and within memory.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<Who, Nanos>>);

impl Clients {
    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Nanos>> {
        // No code that holds the lock can leave a half-made change behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Clients {
    type Key = Who;

    fn measure_and_replace<T, F, E>(&self, who: &Who, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut clients = self.lock();
        if let Some(rested) = clients.get_mut(who) {
            let (answer, later) = measure(Some(*rested))?;
            *rested = later;
            return Ok(answer);
        }
        let who = match clients.len() < CLIENTS_MAX {
            true => who.clone(),
            false => Origin::default().into(),
        };
        let (answer, rested) = measure(clients.get(&who).copied())?;
        clients.insert(who, rested);
        Ok(answer)
    }
}

impl ShrinkableKeyedStateStore<Who> for Clients {
    fn retain_recent(&self, before: Nanos) {
        self.lock().retain(|_, rested| *rested > before);
    }

    fn shrink_to_fit(&self) {
        self.lock().shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}
