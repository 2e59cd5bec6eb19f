use std::sync::Arc;
use std::time::Duration;

use super::active::Active;
use super::deliver::{Damage, Deliver, Delivered, Delivery};
use super::receive::io_refusal;
use super::verify::Checked;
use super::{Engine, Refusal};
use crate::blob::{Blob, OnConflict, Publish};
use crate::config;
use crate::upload::{
    Answer, Entry, Failure, FileName, Record, State, Verdict, retry_delay, verdict,
};

/// Wait before an entry that did not fit the log is tried again.
const FULL_LOG_RETRY: Duration = Duration::from_secs(1);

/// What an attempt led to.
pub(super) enum Attempt {
    /// Nothing more is to be done.
    Over,
    /// It is to be made again.
    Again,
}

impl Engine {
    /// Makes one attempt to hand an upload over.
    pub(super) async fn attempt(&self, active: &Active, deliver: &Arc<dyn Deliver>) -> Attempt {
        match self.try_attempt(active, deliver).await {
            Ok(attempt) => attempt,
            // The cause is in the log. What is full may have room again, what is broken may be
            // mended by the next opening.
            Err(_) if active.is_usable() => Attempt::Again,
            Err(_) => Attempt::Over,
        }
    }

    async fn try_attempt(
        &self,
        active: &Active,
        deliver: &Arc<dyn Deliver>,
    ) -> Result<Attempt, Refusal> {
        self.seal(active).await?;
        if self.is_held(active).await? {
            return Ok(Attempt::Over);
        }
        let Some(Checked { sha256 }) = self.check(active).await? else {
            return Ok(Attempt::Over);
        };
        // What has not begun when the server ends is begun by the next one.
        let permit = tokio::select! {
            biased;
            () = self.draining.cancelled() => return Ok(Attempt::Over),
            permit = self.deliveries.acquire() => permit,
        };
        let Ok(_permit) = permit else {
            return Ok(Attempt::Over);
        };
        // An empty file has had no chunk that would have made its data file.
        let blob = active.blob(self.blobs.as_ref()).await?;
        let at = self.clock.now();
        active.append(Entry::HandoffBegun { at }).await?;
        let outcome = match self.config.delivery.mode {
            config::Mode::Handler => self.hand_over(active, blob, deliver, sha256).await,
            config::Mode::Store => self.publish(active, sha256).await,
        };
        self.settle(active, outcome).await
    }

    async fn seal(&self, active: &Active) -> Result<(), Refusal> {
        let at = self.clock.now();
        let unsealed = |record: &Record| record.state == State::Receiving;
        active
            .append_if(|inner| Ok(unsealed(&inner.record).then_some(Entry::Sealed { at })))
            .await
    }

    /// Puts on record that an earlier process died in a hand-off, and says whether that ends it.
    async fn is_held(&self, active: &Active) -> Result<bool, Refusal> {
        let failed = Entry::HandoffFailed {
            failure: match self.config.delivery.mode {
                config::Mode::Handler => Failure::Interrupted,
                // A publication finds what it did.
                config::Mode::Store => Failure::NotStored,
            },
            at: self.clock.now(),
        };
        active
            .append_if(|inner| Ok(inner.record.in_handoff.then_some(failed)))
            .await?;
        let due = self.is_due(&active.lock().record);
        Ok(!due)
    }

    async fn hand_over(
        &self,
        active: &Active,
        blob: Arc<dyn Blob>,
        deliver: &Arc<dyn Deliver>,
        sha256: Option<String>,
    ) -> Outcome {
        let (header, pieces) = {
            let record = &active.lock().record;
            (Arc::clone(&record.header), record.ranges.clone())
        };
        let damage = Damage::default();
        let delivery = Delivery {
            key: active.key,
            header,
            blob,
            pieces,
            damage: damage.clone(),
            wants_sha256: sha256.is_none(),
        };
        // A task of its own, so that a panic of the handler is an outcome and not ours.
        let deliver = Arc::clone(deliver);
        let mut task = tokio::spawn(async move { deliver.deliver(delivery).await });
        let delivered = tokio::time::timeout(self.config.delivery.timeout, &mut task).await;
        match delivered {
            Ok(_) if damage.is_reported() => Outcome::Failed(Failure::Unreadable),
            Ok(Ok(Delivered::Answered {
                answer,
                sha256: computed,
            })) => Outcome::Answered(answer, sha256.or(computed)),
            Ok(Ok(Delivered::Broken)) => Outcome::Failed(Failure::Broken),
            Ok(Err(_)) => Outcome::Failed(Failure::Panicked),
            Err(_) => {
                task.abort();
                Outcome::Failed(if damage.is_reported() {
                    Failure::Unreadable
                } else {
                    Failure::TimedOut
                })
            }
        }
    }

    async fn publish(&self, active: &Active, sha256: Option<String>) -> Outcome {
        let delivery = &self.config.delivery;
        let publish = Publish {
            dir: delivery.storage_path.clone(),
            name: active.lock().record.header.declaration.name.clone(),
            on_conflict: match delivery.on_conflict {
                config::OnConflict::Rename => OnConflict::Rename,
                config::OnConflict::Reject => OnConflict::Reject,
                config::OnConflict::Overwrite => OnConflict::Overwrite,
            },
        };
        match self.blobs.publish(active.key, publish).await {
            Ok(Some(name)) => Outcome::Stored(name, sha256),
            Ok(None) => Outcome::NameTaken,
            Err(error) => {
                io_refusal(active.key, &error);
                Outcome::Failed(Failure::NotStored)
            }
        }
    }

    /// Puts the outcome of an attempt on record.
    async fn settle(&self, active: &Active, outcome: Outcome) -> Result<Attempt, Refusal> {
        let at = self.clock.now();
        let (answer, name, sha256) = match outcome {
            Outcome::Stored(name, sha256) => (None, Some(name), sha256),
            Outcome::NameTaken => (Some(name_taken()), None, None),
            Outcome::Answered(answer, sha256) if verdict(answer.status) == Verdict::Decided => {
                (Some(answer), None, sha256)
            }
            Outcome::Answered(answer, _) => {
                return self.fail(active, Failure::Answered(answer)).await;
            }
            Outcome::Failed(failure) => return self.fail(active, failure).await,
        };
        let rejected = answer.as_ref().is_some_and(|answer| answer.status >= 400);
        self.end(
            active,
            Entry::HandoffEnded {
                answer,
                name,
                sha256,
                at,
            },
            !rejected,
        )
        .await?;
        Ok(Attempt::Over)
    }

    async fn fail(&self, active: &Active, failure: Failure) -> Result<Attempt, Refusal> {
        warn_of(active, &failure);
        let unreadable = failure == Failure::Unreadable;
        let at = self.clock.now();
        let entry = Entry::HandoffFailed { failure, at };
        self.append_when_it_fits(active, entry).await?;
        if unreadable {
            active.distrust();
            self.withdraw_rotten(active).await?;
        }
        let again = self.is_due(&active.lock().record);
        Ok(if again { Attempt::Again } else { Attempt::Over })
    }

    /// Puts what the handler did on record. While the log is full the outcome is kept here and the
    /// entry is tried again: asking the handler again would be worse.
    async fn append_when_it_fits(&self, active: &Active, entry: Entry) -> Result<(), Refusal> {
        loop {
            match active.append(entry.clone()).await {
                Err(Refusal::NoSpace) if !self.draining.is_cancelled() => {
                    tokio::time::sleep(FULL_LOG_RETRY).await;
                }
                other => return other,
            }
        }
    }

    /// Ends the upload; its bytes go unless they may be wanted again.
    pub(super) async fn end(
        &self,
        active: &Active,
        entry: Entry,
        forget_bytes: bool,
    ) -> Result<(), Refusal> {
        self.append_when_it_fits(active, entry).await?;
        self.budget.release(active.key);
        let (state, took) = {
            let record = &active.lock().record;
            (record.state, record.duration(self.clock.now()))
        };
        let seconds = took.as_secs_f64();
        tracing::info!(key = %active.key, %state, seconds, "upload ended");
        if forget_bytes {
            self.forget_bytes(active).await;
        }
        Ok(())
    }

    /// Deletes what is not needed any more. What stays behind by an error, the sweep removes.
    async fn forget_bytes(&self, active: &Active) {
        let forgotten = match self.config.delivery.mode {
            config::Mode::Handler => self.blobs.remove(active.key).await,
            config::Mode::Store => {
                self.blobs
                    .settle(active.key, self.config.delivery.storage_path.clone())
                    .await
            }
        };
        if let Err(error) = forgotten {
            tracing::warn!(key = %active.key, %error, "the bytes of an ended upload stay behind");
        }
    }
}

enum Outcome {
    Answered(Answer, Option<String>),
    Stored(FileName, Option<String>),
    NameTaken,
    Failed(Failure),
}

/// The answer of store mode under `on_conflict = "reject"`.
fn name_taken() -> Answer {
    let detail = "A file of this name exists, and the server keeps the older one.";
    let problem = serde_json::json!({
        "type": "about:blank", "title": "Conflict", "status": 409, "detail": detail,
        "code": "name_taken",
    });
    Answer {
        status: 409,
        headers: vec![(
            "content-type".to_owned(),
            "application/problem+json".to_owned(),
        )],
        body: problem.to_string().into_bytes(),
        truncated: false,
    }
}

fn warn_of(active: &Active, failure: &Failure) {
    let key = active.key;
    let next = retry_delay(active.lock().record.attempts).max(Duration::from_secs(1));
    match failure {
        Failure::Answered(Answer {
            status: status @ (404 | 405),
            ..
        }) => tracing::warn!(
            %key, status, ?next,
            "the app has no handler for the hand-off: is delivery.path right, and does the layer \
             go around the whole router (Router::fallback_service, not Router::layer)?"
        ),
        Failure::Answered(Answer { status, .. }) => {
            tracing::warn!(%key, status, ?next, "the handler asks for the upload again");
        }
        Failure::NotStored => tracing::warn!(%key, ?next, "the file has not got its place yet"),
        Failure::Unreadable => tracing::error!(%key, "the bytes could not be read as they came in"),
        failure => tracing::error!(%key, ?failure, ?next, "nobody can tell what the handler did"),
    }
}
