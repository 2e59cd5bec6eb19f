use std::sync::Arc;

use super::claim;
use super::receive::io_refusal;
use super::{Engine, Refusal};
use crate::upload::{Entry, Record, SessionId, State, UploadKey};

impl Engine {
    /// Gives an upload up: its bytes go, its record stays until `result_retention` ends.
    /// Idempotent.
    ///
    /// # Errors
    /// [`Refusal::Finishing`] while it is handed over, [`Refusal::Completed`] afterwards.
    pub async fn cancel(self: &Arc<Self>, id: &SessionId) -> Result<(), Refusal> {
        self.check_reachable()?;
        match self.cancel_here(id.key()).await {
            Err(Refusal::NoSession | Refusal::Elsewhere(_)) => self.cancel_elsewhere(id).await,
            cancelled => cancelled,
        }
    }

    /// The same for an upload of this server's.
    pub async fn cancel_here(self: &Arc<Self>, key: UploadKey) -> Result<(), Refusal> {
        let engine = Arc::clone(self);
        // A client that leaves now must not leave half of it undone.
        let task = self
            .tasks
            .spawn(async move { engine.cancel_whole(key).await });
        task.await.unwrap_or(Err(Refusal::Internal))
    }

    async fn cancel_whole(&self, key: UploadKey) -> Result<(), Refusal> {
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
        active.lock().claims.stop_all();
        self.schedule.forget(key);
        active.changed.notify_waiters();
        self.budget.release(key);
        // Whoever still holds a claim may be about to make the file that is to go.
        claim::wait_for_all(&active).await?;
        self.let_go(active);
        self.forget_bytes(key)
            .await
            .map_err(|error| io_refusal(key, &error))
    }
}
