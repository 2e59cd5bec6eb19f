use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::active::{Active, Inner};
use super::claim::wait_until;
use super::deliver::Deliver;
use super::redeliver::can_be_redelivered;
use super::schedule::{Job, Schedule};
use super::share::UNREACHABLE_DELAY;
use super::{Engine, Refusal, View};
use crate::config;
use crate::upload::{Record, State, UploadKey, retry_delay};

/// Says that an attempt is over, even when it panicked.
struct Running<'a>(&'a Schedule, UploadKey);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.attempted(self.1, None);
        }
    }
}

/// Makes the attempts that are due. The jobs that wait end with it, as all work ends with its
/// runtime: they know the app, which knows the engine, and would keep one another for ever.
struct Serving(Option<Arc<Engine>>);

impl Serving {
    async fn run(mut self) {
        let Some(engine) = self.0.clone() else { return };
        // The permit comes first: whatever an attempt does, it does as one of a few.
        while let Ok(permit) = Arc::clone(&engine.deliveries).acquire_owned().await {
            let Some(job) = engine.schedule.next().await else {
                // The next job is served by another.
                self.0 = None;
                break;
            };
            let attempt = Arc::clone(&engine).attempt_with(permit, job);
            engine.tasks.spawn(attempt);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(engine) = &self.0 {
            engine.schedule.abandon();
        }
    }
}

impl Engine {
    /// Waits, for a bounded time, for the outcome of an upload whose bytes are all here. `pull`
    /// asks for an attempt now where the next one is waiting for its time.
    pub(super) async fn conclude(
        self: &Arc<Self>,
        active: &Arc<Active>,
        deliver: &Arc<dyn Deliver>,
        pull: bool,
    ) -> View {
        let key = active.key;
        // The request that brought the last byte may not have come to it yet.
        let unstarted = |inner: &Inner| {
            let complete = inner.record.state == State::Receiving && inner.record.is_complete();
            complete && !self.schedule.knows(key) && !self.draining.is_cancelled()
        };
        let hurry = pull || unstarted(&active.lock());
        if hurry && self.start_finisher(active, deliver) {
            tracing::debug!(%key, "a client asks for the hand-off");
        }
        let is_over = |inner: &Inner| {
            !active.is_usable() || !(unstarted(inner) || self.schedule.is_busy(key))
        };
        let view =
            |inner: &Inner| View::new(key, &inner.record, &self.deadlines(), self.clock.now());
        let outcome = async {
            loop {
                wait_until(active, is_over).await;
                // The last byte may come between two looks.
                let inner = active.lock();
                if is_over(&inner) {
                    return view(&inner);
                }
            }
        };
        // After that time the client is told to come back.
        let within = self.config.now().delivery.finalize_wait;
        tokio::time::timeout(within, outcome)
            .await
            .unwrap_or_else(|_| view(&active.lock()))
    }

    /// From now on so many uploads are handed over at once.
    pub(super) fn bound_deliveries(&self, max: usize) {
        let before = self.config.now().delivery.max_concurrent;
        let deliveries = Arc::clone(&self.deliveries);
        match before
            .checked_sub(max)
            .and_then(|fewer| u32::try_from(fewer).ok())
        {
            None => deliveries.add_permits(max.saturating_sub(before)),
            // Those that run may end first.
            Some(fewer) => drop(tokio::spawn(async move {
                if let Ok(places) = deliveries.acquire_many(fewer).await {
                    places.forget();
                }
            })),
        }
    }

    /// Makes the hand-off of a complete upload due now; whether it was not, and is to be made.
    pub(super) fn start_finisher(
        self: &Arc<Self>,
        active: &Active,
        deliver: &Arc<dyn Deliver>,
    ) -> bool {
        let due = self.is_due(&active.lock().record);
        due && self.want_hand_off(active.key, deliver, false)
    }

    /// Makes the hand-off of an upload due now, without opening it; whether it was not. Those that
    /// are due first begin first, as many at once as may be. With `again` also one whose handler has
    /// decided.
    pub(super) fn want_hand_off(
        self: &Arc<Self>,
        key: UploadKey,
        deliver: &Arc<dyn Deliver>,
        again: bool,
    ) -> bool {
        let wanted = self.schedule.want(key, deliver, again);
        self.serve_schedule();
        wanted
    }

    /// Whether a hand-off remains to be made, or to be made again.
    pub(super) fn is_due(&self, record: &Record) -> bool {
        let hold = self.config.now().delivery.on_unknown == config::OnUnknown::Hold;
        match record.state {
            State::Receiving => record.is_complete(),
            State::Finishing | State::Undelivered => true,
            State::Unknown => !hold,
            State::Completed | State::Rejected | State::Cancelled => false,
        }
    }

    /// Sees to it that somebody makes the attempts that are due.
    fn serve_schedule(self: &Arc<Self>) {
        if self.schedule.is_to_be_served() {
            let serving = Serving(Some(Arc::clone(self)));
            self.tasks.spawn(serving.run());
        }
    }

    async fn attempt_with(self: Arc<Self>, permit: OwnedSemaphorePermit, job: Job) {
        self.attempt_once(job).await;
        drop(permit);
        self.serve_schedule();
    }

    /// Makes one attempt, and notes when the next one is due. Nothing of the upload is kept open for
    /// it.
    pub(super) async fn attempt_once(&self, mut job: Job) {
        let key = job.key;
        let running = Running(&self.schedule, key);
        if job.outcome.is_none() && self.check_reachable().is_err() {
            // Nothing is read for what could not be claimed. An outcome needs nobody else.
            self.schedule.attempted(key, Some((job, UNREACHABLE_DELAY)));
            return;
        }
        match self.live(key).await {
            Ok(active) => {
                let made = self.attempt(&active, &mut job).await;
                let unreachable = made == Err(Refusal::Unreachable);
                if !unreachable {
                    job.failures = made.map_or(job.failures + 1, |()| 0);
                }
                // Withdrawn chunks that come again find the attempt over, or are found by it.
                let inner = active.lock();
                let delay = self.next_attempt(&active, &inner.record, &job);
                let delay = delay.map(|delay| {
                    if unreachable {
                        UNREACHABLE_DELAY
                    } else {
                        delay
                    }
                });
                self.schedule
                    .attempted(key, delay.map(|delay| (job, delay)));
                drop(inner);
                active.changed.notify_waiters();
                self.let_go(active);
            }
            Err(Refusal::NoSession | Refusal::StateLost | Refusal::Elsewhere(_)) => {
                self.schedule.attempted(key, None);
            }
            Err(_) => {
                job.failures += 1;
                let delay = retry_delay(job.failures);
                self.schedule.attempted(key, Some((job, delay)));
            }
        }
        drop(running);
        self.tell(key);
        self.table.close_unused(key);
    }

    /// The wait before the next attempt, if there is to be one.
    fn next_attempt(&self, active: &Active, record: &Record, job: &Job) -> Option<Duration> {
        let wanted = self.is_due(record) || (job.again && can_be_redelivered(record));
        let settled = !wanted && job.outcome.is_none();
        if active.refusal() == Refusal::NoSession || (settled && active.is_usable()) {
            return None;
        }
        let failures = match job {
            Job {
                outcome: Some(_), ..
            } => job.failures,
            // What was withdrawn has come again.
            Job { failures: 0, .. } if record.state == State::Receiving => {
                return Some(Duration::ZERO);
            }
            _ => record.attempts.saturating_add(job.failures),
        };
        Some(retry_delay(failures))
    }

    /// Tells those who wait for an upload to look at it again.
    pub(super) fn tell(&self, key: UploadKey) {
        if let Some(active) = self.table.peek(key) {
            active.changed.notify_waiters();
        }
    }
}
