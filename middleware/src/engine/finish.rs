use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::active::{Active, Inner};
use super::attempt::Attempt;
use super::claim::wait_until;
use super::deliver::Deliver;
use super::{Engine, View};
use crate::config;
use crate::upload::{Record, State, retry_delay};

/// The one task that hands an upload over.
#[derive(Default)]
pub(super) struct Finisher {
    /// Ends its wait for the next attempt, while it waits.
    rest: Option<CancellationToken>,
}

impl Finisher {
    #[cfg(test)]
    pub(super) fn rests(&self) -> bool {
        self.rest.is_some()
    }

    /// Ends the wait for the next attempt; whether there was one.
    pub(super) fn wake(&mut self) -> bool {
        self.rest.take().map(|rest| rest.cancel()).is_some()
    }
}

/// Says that the finisher has ended, even when it panicked.
struct Finishing<'a>(&'a Active);

impl Drop for Finishing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().finisher = None;
        }
        self.0.changed.notify_waiters();
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
        // The request that brought the last byte may not have come to it yet.
        let is_unstarted = |inner: &Inner| inner.record.is_complete() && inner.finisher.is_none();
        let unstarted = is_unstarted(&active.lock());
        if (pull || unstarted) && self.start_finisher(active, deliver) {
            tracing::debug!(key = %active.key, "a client asks for the hand-off");
        }
        let outcome = wait_until(active, |inner| {
            inner.finisher.as_ref().is_none_or(|f| f.rest.is_some())
        });
        // After that time the client is told to come back.
        let _ = tokio::time::timeout(self.config.delivery.finalize_wait, outcome).await;
        let inner = active.lock();
        View::new(
            active.key,
            &inner.record,
            &self.deadlines(),
            self.clock.now(),
        )
    }

    /// Starts the finisher of a complete upload, or wakes the one that rests; whether it did.
    pub(super) fn start_finisher(
        self: &Arc<Self>,
        active: &Arc<Active>,
        deliver: &Arc<dyn Deliver>,
    ) -> bool {
        if self.draining.is_cancelled() {
            return false;
        }
        let mut inner = active.lock();
        if let Some(finisher) = &mut inner.finisher {
            return finisher.wake();
        }
        if !self.is_due(&inner.record) {
            return false;
        }
        inner.finisher = Some(Finisher::default());
        let (engine, active, deliver) = (Arc::clone(self), Arc::clone(active), Arc::clone(deliver));
        self.tasks
            .spawn(async move { engine.finish(active, deliver).await });
        true
    }

    /// Whether a hand-off remains to be made, or to be made again.
    pub(super) fn is_due(&self, record: &Record) -> bool {
        let hold = self.config.delivery.on_unknown == config::OnUnknown::Hold;
        match record.state {
            State::Receiving => record.is_complete(),
            State::Finishing | State::Undelivered => true,
            State::Unknown => !hold,
            State::Completed | State::Rejected | State::Cancelled => false,
        }
    }

    async fn finish(self: Arc<Self>, active: Arc<Active>, deliver: Arc<dyn Deliver>) {
        let finishing = Finishing(&active);
        loop {
            while let Attempt::Again = self.attempt(&active, &deliver).await {
                if self.rest(&active).await.is_err() {
                    break;
                }
            }
            // Withdrawn chunks may have come again meanwhile, and found this task still here.
            let mut inner = active.lock();
            let refilled = inner.record.state == State::Receiving && inner.record.is_complete();
            if !refilled || !active.is_usable() || self.draining.is_cancelled() {
                inner.finisher = None;
                break;
            }
        }
        drop(finishing);
        self.let_go(active);
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// There will be none: the upload expired or was removed, or the server shuts down.
    async fn rest(&self, active: &Active) -> Result<(), ()> {
        let rest = CancellationToken::new();
        let delay = {
            let mut inner = active.lock();
            inner.finisher = Some(Finisher {
                rest: Some(rest.clone()),
            });
            if self.deadlines().expiry(&inner.record) <= self.clock.now() {
                return Err(());
            }
            retry_delay(inner.record.attempts)
        };
        active.changed.notify_waiters();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = rest.cancelled() => {}
            () = self.draining.cancelled() => return Err(()),
        }
        let mut inner = active.lock();
        inner.finisher = Some(Finisher::default());
        if active.is_usable() && self.is_due(&inner.record) {
            Ok(())
        } else {
            Err(())
        }
    }
}
