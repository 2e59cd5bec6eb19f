use super::receive::io_refusal;
use super::{Engine, Refusal};
use crate::upload::{Entry, Record, State, UploadKey};

impl Engine {
    /// Gives an upload up: its bytes go, its record stays until `result_retention` ends.
    /// Idempotent.
    ///
    /// # Errors
    /// [`Refusal::Finishing`] while it is handed over, [`Refusal::Completed`] afterwards.
    pub async fn cancel(&self, key: UploadKey) -> Result<(), Refusal> {
        let active = self.live(key).await?;
        let at = self.clock.now();
        let entry = |record: &Record| match record.state {
            State::Cancelled => Ok(None),
            State::Completed => Err(Refusal::Completed),
            State::Finishing => Err(Refusal::Finishing),
            State::Receiving if record.is_complete() => Err(Refusal::Finishing),
            _ => Ok(Some(Entry::Cancelled { at })),
        };
        active.append_if(|inner| entry(&inner.record)).await?;
        {
            let inner = active.lock();
            inner.claims.stop_all();
            if let Some(finisher) = &inner.finisher {
                finisher.wake();
            }
        }
        active.changed.notify_waiters();
        self.budget.release(key);
        self.let_go(active);
        self.blobs
            .remove(key)
            .await
            .map_err(|error| io_refusal(key, &error))
    }
}
