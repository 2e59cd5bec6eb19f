use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active::Active;
use super::deliver::{Damage, Deliver, Delivered, Delivery};
use super::receive::io_refusal;
use super::redeliver::can_be_redelivered;
use super::schedule::Job;
use super::verify::Checked;
use super::{Engine, Refusal};
use crate::blob::{Blob, FlushFailed, OnConflict, Publish};
use crate::config;
use crate::event::Handoff;
use crate::upload::{
    Answer, Durability, Entry, Failure, FileName, Record, State, UploadKey, Verdict, retry_delay,
    verdict,
};

impl Engine {
    /// Makes one attempt to hand an upload over; what it led to is on record then, unless
    /// `job.outcome` holds it.
    ///
    /// # Errors
    /// It has not come as far as to be on record, or its outcome has not.
    pub(super) async fn attempt(&self, active: &Active, job: &mut Job) -> Result<(), Refusal> {
        if job.outcome.is_some() {
            return self.settle(active, job).await;
        }
        self.seal(active).await?;
        self.note_interruption(active).await?;
        let is_wanted = {
            let record = &active.lock().record;
            self.is_due(record) || (job.again && can_be_redelivered(record))
        };
        if !is_wanted {
            return Ok(());
        }
        if job.checked.is_none() {
            job.checked = self.check(active).await?;
        }
        let Some(Checked { sha256 }) = job.checked.clone() else {
            return Ok(());
        };
        // What has not begun when the server ends is begun by the next one.
        if self.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        // An empty file has had no chunk that would have made its data file.
        let blob = active.blob(self.blobs.as_ref()).await?;
        let at = self.clock.now();
        active.append(Entry::HandoffBegun { at }).await?;
        job.failures = 0;
        self.schedule.begun(active.key);
        if std::mem::take(&mut job.again) {
            self.count_again(active);
        }
        let began = Instant::now();
        let outcome = match self.config.now().delivery.mode {
            config::Mode::Handler => self.hand_over(active, blob, &job.deliver, sha256).await,
            config::Mode::Store => self.publish(active, sha256).await,
        };
        let entry = self.entry(active, outcome);
        active.counts().handed_over(result(&entry), began.elapsed());
        job.outcome = Some(entry);
        self.settle(active, job).await
    }

    async fn seal(&self, active: &Active) -> Result<(), Refusal> {
        let at = self.clock.now();
        let unsealed = |record: &Record| record.state == State::Receiving;
        active
            .append_if(|inner| Ok(unsealed(&inner.record).then_some(Entry::Sealed { at })))
            .await
    }

    /// Puts on record that an earlier process died in a hand-off.
    async fn note_interruption(&self, active: &Active) -> Result<(), Refusal> {
        let failed = Entry::HandoffFailed {
            failure: match self.config.now().delivery.mode {
                config::Mode::Handler => Failure::Interrupted,
                // A publication finds what it did.
                config::Mode::Store => Failure::NotStored,
            },
            at: self.clock.now(),
        };
        let mut interrupted = false;
        let noted = active.append_if(|inner| {
            interrupted = inner.record.in_handoff;
            Ok(interrupted.then_some(failed.clone()))
        });
        noted.await?;
        if interrupted && let Entry::HandoffFailed { failure, .. } = &failed {
            self.warn_of(active, failure);
        }
        Ok(())
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
        let within = self.config.now().delivery.timeout;
        let delivered = tokio::time::timeout(within, &mut task).await;
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
        let config = self.config.now();
        let delivery = &config.delivery;
        let (header, crc) = {
            let record = &active.lock().record;
            let header = Arc::clone(&record.header);
            let total = header.declaration.total;
            (header, record.ranges.crc(total))
        };
        let publish = Publish {
            dir: delivery.storage_path.clone(),
            name: header.declaration.name.clone(),
            crc,
            durable: header.durability == Durability::Power,
            on_conflict: match delivery.on_conflict {
                config::OnConflict::Rename => OnConflict::Rename,
                config::OnConflict::Reject => OnConflict::Reject,
                config::OnConflict::Overwrite => OnConflict::Overwrite,
            },
        };
        match self.blobs.publish(active.key, publish).await {
            Ok(Some(name)) => Outcome::Stored(name, sha256),
            Ok(None) => Outcome::NameTaken,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Outcome::Failed(Failure::Unreadable)
            }
            // Asked again, it would find done what the disk may have lost.
            Err(error) if FlushFailed::is(&error) => {
                self.latch.shut(active.key, &error);
                Outcome::Failed(Failure::NotStored)
            }
            Err(error) => {
                io_refusal(active.key, &error);
                Outcome::Failed(Failure::NotStored)
            }
        }
    }

    /// What an outcome means for the upload.
    fn entry(&self, active: &Active, outcome: Outcome) -> Entry {
        let at = self.clock.now();
        let (answer, name, sha256) = match outcome {
            Outcome::Answered(answer, sha256) if verdict(answer.status) == Verdict::Decided => {
                (Some(answer), None, sha256)
            }
            Outcome::Stored(name, sha256) => (None, Some(name), sha256),
            Outcome::NameTaken => (Some(name_taken()), None, None),
            Outcome::Answered(answer, _) => {
                return self.entry(active, Outcome::Failed(Failure::Answered(answer)));
            }
            Outcome::Failed(failure) => {
                self.warn_of(active, &failure);
                return Entry::HandoffFailed { failure, at };
            }
        };
        Entry::HandoffEnded {
            answer,
            name,
            sha256,
            at,
        }
    }

    /// Puts the outcome of an attempt on record, unless it is already: an error may have come
    /// after the writing.
    async fn settle(&self, active: &Active, job: &mut Job) -> Result<(), Refusal> {
        let Some(outcome) = job.outcome.clone() else {
            return Ok(());
        };
        let key = active.key;
        let unreadable = matches!(
            &outcome,
            Entry::HandoffFailed {
                failure: Failure::Unreadable,
                ..
            }
        );
        let settled = active
            .append_if(|inner| Ok(inner.record.in_handoff.then_some(outcome)))
            .await;
        match (&settled, job.failures) {
            (Err(_), 0) => {
                tracing::warn!(%key, "the outcome of the hand-off is kept here until the log takes it");
            }
            (Ok(()), 1..) => tracing::info!(%key, "the outcome of the hand-off is on record now"),
            _ => {}
        }
        settled?;
        job.outcome = None;
        if unreadable {
            job.checked = None;
            active.distrust();
            self.withdraw_rotten(active).await?;
        }
        let state = active.lock().record.state;
        if state.is_final() {
            self.ended(active, state == State::Completed).await;
        }
        Ok(())
    }

    /// Does what is to be done when an upload has ended; its bytes go unless they may be wanted again.
    pub(super) async fn ended(&self, active: &Active, forget_bytes: bool) {
        self.budget.release(active.key);
        let (state, took) = {
            let record = &active.lock().record;
            (record.state, record.duration(self.clock.now()))
        };
        let seconds = took.as_secs_f64();
        tracing::info!(key = %active.key, %state, seconds, "upload ended");
        // What stays behind by an error, the sweep removes.
        if forget_bytes && let Err(error) = self.forget_bytes(active.key).await {
            tracing::warn!(key = %active.key, %error, "the bytes of an ended upload stay behind");
        }
    }

    /// Deletes the bytes of an upload, and what of a publication serves to recognise them.
    pub(super) async fn forget_bytes(&self, key: UploadKey) -> io::Result<()> {
        let config = self.config.now();
        let delivery = &config.delivery;
        match delivery.mode {
            config::Mode::Handler => self.blobs.remove(key).await,
            config::Mode::Store => self.blobs.settle(key, delivery.storage_path.clone()).await,
        }
    }

    /// Says why an attempt failed, and what comes next.
    fn warn_of(&self, active: &Active, failure: &Failure) {
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
            Failure::Unreadable => {
                tracing::error!(%key, "the bytes could not be read as they came in");
            }
            failure if self.config.now().delivery.on_unknown == config::OnUnknown::Hold => {
                tracing::error!(
                    %key, ?failure,
                    "nobody can tell what the handler did: the upload is held, and the handler not \
                     called again, until it expires, is cancelled or redelivered"
                );
            }
            failure => tracing::error!(
                %key, ?failure,
                "nobody can tell what the handler did: it is called again"
            ),
        }
    }
}

/// What an outcome is counted as.
fn result(outcome: &Entry) -> Handoff {
    match outcome {
        Entry::HandoffFailed { failure, .. } if failure.is_unknown() => Handoff::Unknown,
        Entry::HandoffFailed { .. } => Handoff::Undelivered,
        Entry::HandoffEnded {
            answer: Some(answer),
            ..
        } if answer.status >= 400 => Handoff::Rejected,
        _ => Handoff::Completed,
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
