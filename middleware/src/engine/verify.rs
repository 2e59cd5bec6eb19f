use std::sync::Arc;

use super::active::Active;
use super::receive::io_refusal;
use super::{Engine, Refusal};
use crate::upload::{Algorithm, Crc32c, Digest, Entry, Hasher, Piece, Span};
use crate::volume::is_unreadable;

/// Bytes read at once.
const READ_LEN: u64 = 1 << 20;

/// Of an upload whose bytes are what they were, and what the client declared, as far as it did.
#[derive(Clone)]
pub(super) struct Checked {
    /// SHA-256 of the file in hex, where it was computed.
    pub(super) sha256: Option<String>,
}

/// Why bytes were not read.
enum Unread {
    /// There are fewer, or the disk does not give them back.
    Gone,
    /// They could not be, or are not to be now.
    Refused(Refusal),
}

impl Engine {
    /// Looks at the bytes before they are handed over. `None`: they are not to be, as pieces were
    /// withdrawn, or because the file is not what the client declared.
    pub(super) async fn check(&self, active: &Active) -> Result<Option<Checked>, Refusal> {
        if self.withdraw_rotten(active).await? {
            return Ok(None);
        }
        if let Some(checked) = self.verify(active).await? {
            return Ok(Some(checked));
        }
        // What has changed since it was received is asked for again, and is nobody's fault.
        active.distrust();
        if !self.withdraw_rotten(active).await? {
            let at = self.clock.now();
            active.append(Entry::DigestMismatch { at }).await?;
            self.ended(active, true).await;
        }
        Ok(None)
    }

    /// Reads back the pieces that may not be what they were, and withdraws those that are not;
    /// whether there were any. Their chunks are then missing, and no others.
    pub(super) async fn withdraw_rotten(&self, active: &Active) -> Result<bool, Refusal> {
        let mut rotten = false;
        for (span, piece) in active.inherited().iter() {
            if self.is_intact(active, span, piece).await? {
                continue;
            }
            rotten = true;
            let Span { start, len } = span;
            tracing::error!(key = %active.key, start, len, "bytes are not what they were; asking for them again");
            self.withdraw(active, span).await?;
        }
        active.inherited_is_read();
        Ok(rotten)
    }

    pub(super) async fn is_intact(
        &self,
        active: &Active,
        span: Span,
        piece: Piece,
    ) -> Result<bool, Refusal> {
        let mut crc = Crc32c::default();
        match self.read(active, span, |bytes| crc.update(bytes)).await {
            Ok(()) => Ok(crc.finish() == piece.crc),
            Err(Unread::Gone) => Ok(false),
            Err(Unread::Refused(refusal)) => Err(refusal),
        }
    }

    /// Checks the whole file against what the client declared; `None` when it is something else.
    async fn verify(&self, active: &Active) -> Result<Option<Checked>, Refusal> {
        let header = Arc::clone(&active.lock().record.header);
        let declared = &header.declaration.digests;
        if declared.is_empty() {
            return Ok(Some(Checked { sha256: None }));
        }
        let mut hashers: Vec<_> = declared
            .iter()
            .map(|d| Hasher::new(d.algorithm()))
            .collect();
        let whole = Span {
            start: 0,
            len: header.declaration.total,
        };
        let update = |bytes: &[u8]| hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
        match self.read(active, whole, update).await {
            Ok(()) => {}
            Err(Unread::Gone) => return Ok(None),
            Err(Unread::Refused(refusal)) => return Err(refusal),
        }
        let computed: Vec<_> = hashers.into_iter().map(Hasher::finish).collect();
        let sha256 = computed
            .iter()
            .find(|digest| digest.algorithm() == Algorithm::Sha256)
            .map(Digest::to_hex);
        Ok((computed == *declared).then_some(Checked { sha256 }))
    }

    async fn read(
        &self,
        active: &Active,
        span: Span,
        mut each: impl FnMut(&[u8]) + Send,
    ) -> Result<(), Unread> {
        let unread = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Unread::Gone,
            _ if is_unreadable(&error) => {
                tracing::error!(key = %active.key, %error, "the disk does not give bytes back");
                Unread::Gone
            }
            _ => Unread::Refused(io_refusal(active.key, &error)),
        };
        let blob = active.blob_io(self.blobs.as_ref()).await.map_err(unread)?;
        let mut offset = span.start;
        while offset < span.end() {
            // A shutdown does not wait until gigabytes are read.
            if self.draining.is_cancelled() {
                return Err(Unread::Refused(Refusal::Draining));
            }
            let len = READ_LEN.min(span.end() - offset);
            let len_read = usize::try_from(len).unwrap_or(usize::MAX);
            let mut read = blob.read(offset, len_read).await;
            if read.as_ref().is_err_and(is_unreadable) {
                // Once is no verdict on a sector.
                read = blob.read(offset, len_read).await;
            }
            each(&read.map_err(unread)?);
            offset += len;
        }
        Ok(())
    }
}
