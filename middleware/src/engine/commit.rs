use std::sync::Arc;

use super::active::Active;
use super::claim::Claim;
use super::deliver::Deliver;
use super::{Engine, Refusal};
use crate::upload::{Entry, Span};

impl Engine {
    /// Puts received bytes on record, in a task of its own: a client that leaves after its last
    /// byte has arrived does not undo it.
    ///
    /// Flushing belongs here: requests that end together can share it.
    pub(super) async fn commit(
        self: &Arc<Self>,
        active: &Arc<Active>,
        claim: Arc<Claim>,
        span: Span,
        crc: u32,
        deliver: &Arc<dyn Deliver>,
    ) -> Result<(), Refusal> {
        let (engine, active) = (Arc::clone(self), Arc::clone(active));
        let deliver = Arc::clone(deliver);
        let task = self.tasks.spawn(async move {
            let at = engine.clock.now();
            let entry = Entry::Received {
                start: span.start,
                len: span.len,
                crc,
                at,
            };
            let result = active.append(entry).await;
            drop(claim);
            result?;
            engine.note_progress(&active);
            engine.start_finisher(&active, &deliver);
            Ok(())
        });
        task.await.unwrap_or(Err(Refusal::Internal))
    }

    fn note_progress(&self, active: &Active) {
        let (remaining, at) = {
            let inner = active.lock();
            let record = &inner.record;
            (
                record.header.declaration.total - record.ranges.bytes(),
                record.last_activity,
            )
        };
        self.budget.update(active.key, remaining, at);
    }
}
