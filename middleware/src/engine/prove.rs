use super::active::Active;
use super::receive::io_refusal;
use super::{Engine, Refusal};
use crate::config;
use crate::upload::{Durability, Entry, Piece, Record, Span, State};

impl Engine {
    /// Sees to it that what an earlier process left of an upload can be relied on.
    pub(super) async fn prove(&self, active: &Active) -> Result<(), Refusal> {
        // What has expired stays so: an entry added now would make it look alive, and a removal that
        // a power cut undid in part may have left the log alone.
        if self.deadlines().has_expired(&active.lock().record) {
            return Ok(());
        }
        // Under "hold" nothing is to happen that would have the handler called again.
        if self.is_undecided(&active.lock().record) {
            return Ok(());
        }
        self.withdraw_absent(active).await?;
        self.withdraw_unflushed(active).await
    }

    /// Whether the upload is held, or will be: nobody knows what its handler did.
    pub(super) fn is_undecided(&self, record: &Record) -> bool {
        let hold = self.config.now().delivery.on_unknown == config::OnUnknown::Hold;
        hold && (record.in_handoff || record.state == State::Unknown)
    }

    /// Asks again for bytes of which the file has none: it was cut, or a power cut has brought the
    /// entries of an upload back that was being removed, and not its bytes.
    async fn withdraw_absent(&self, active: &Active) -> Result<(), Refusal> {
        let claimed = self.claimed(&active.lock().record);
        let Some((last, _)) = claimed.last() else {
            return Ok(());
        };
        let blob = active.blob(self.blobs.as_ref()).await?;
        let len = blob.len().await;
        let len = len.map_err(|error| io_refusal(active.key, &error))?;
        if last.end() <= len {
            return Ok(());
        }
        tracing::error!(key = %active.key, len, "bytes of the upload are gone; asking for them again");
        for (span, _) in claimed.iter().filter(|(span, _)| span.end() > len) {
            self.withdraw(active, *span).await?;
        }
        Ok(())
    }

    /// Flushes what may not have been flushed, and asks again for bytes that are not what their
    /// entries say. An entry and its bytes are flushed together, so of the last ones a power cut
    /// may have kept the entry alone; nobody was told of those.
    async fn withdraw_unflushed(&self, active: &Active) -> Result<(), Refusal> {
        let unproven = {
            let inner = active.lock();
            let record = &inner.record;
            let process = record.header.durability == Durability::Process;
            if process || record.is_proven {
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
        }
        for span in unproven {
            let piece = active.lock().record.ranges.piece(span);
            let Some(piece) = piece else { continue };
            if !self.is_intact(active, span, piece).await? {
                let Span { start, len } = span;
                tracing::info!(key = %active.key, start, len, "bytes that were not acknowledged are gone");
                self.withdraw(active, span).await?;
            }
        }
        active.proven().await;
        Ok(())
    }

    /// The pieces whose bytes must be here. A publication that was cut short may have taken them.
    fn claimed(&self, record: &Record) -> Vec<(Span, Piece)> {
        let taken = self.config.now().delivery.mode == config::Mode::Store;
        if record.ended.is_some() || (taken && record.state != State::Receiving) {
            return Vec::new();
        }
        record.ranges.iter().collect()
    }

    /// Gives bytes up: their chunk is asked for again.
    pub(super) async fn withdraw(&self, active: &Active, span: Span) -> Result<(), Refusal> {
        let Span { start, len } = span;
        let at = self.clock.now();
        let had_ended = active.lock().record.ended.is_some();
        active.append(Entry::Withdrawn { start, len, at }).await?;
        if had_ended {
            self.count_again(active);
        }
        Ok(())
    }
}
