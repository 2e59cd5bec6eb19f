use super::active::Active;
use super::{Engine, Refusal};
use crate::upload::{Durability, Entry, Span};

impl Engine {
    /// Sees to it that what an earlier process left of an upload can be relied on: flushed, and
    /// the bytes what their entries say. An entry and its bytes are flushed together, so of the
    /// last ones a power cut may have kept the entry alone; nobody was told of those.
    pub(super) async fn prove(&self, active: &Active) -> Result<(), Refusal> {
        let unproven = {
            let inner = active.lock();
            let record = &inner.record;
            if record.header.durability == Durability::Process || record.is_proven {
                return Ok(());
            }
            // What has ended has no bytes any more.
            match record.ended {
                Some(_) => Vec::new(),
                None => record.unproven.clone(),
            }
        };
        if !unproven.is_empty() {
            let blob = active.blob(self.blobs.as_ref()).await?;
            let recovered = blob.recover().await;
            recovered.map_err(|error| self.latch.refuse(active.key, &error))?;
            for span in unproven {
                self.withdraw_unless_intact(active, span).await?;
            }
        }
        active.proven().await;
        Ok(())
    }

    async fn withdraw_unless_intact(&self, active: &Active, span: Span) -> Result<(), Refusal> {
        let piece = active.lock().record.ranges.piece(span);
        let Some(piece) = piece else { return Ok(()) };
        if self.is_intact(active, span, piece).await? {
            return Ok(());
        }
        let Span { start, len } = span;
        tracing::info!(key = %active.key, start, len, "bytes that were not acknowledged are gone");
        let at = self.clock.now();
        active.append(Entry::Withdrawn { start, len, at }).await
    }
}
