use std::sync::Arc;

use super::active::Active;
use super::receive::io_refusal;
use super::{Engine, Refusal};
use crate::upload::{Algorithm, Crc32c, Digest, Entry, Hasher, Piece, Span};

/// Bytes read at once.
const READ_LEN: u64 = 1 << 20;

/// What the digests of a whole file say.
pub(super) enum Verified {
    /// It is what the client declared, as far as it did; with the SHA-256 in hex where that was
    /// computed.
    Matches { sha256: Option<String> },
    /// It is something else.
    Differs,
}

impl Engine {
    /// Reads back what an earlier process received, and withdraws the pieces that are not what
    /// they were; whether there were any. Their chunks are then missing, and no others.
    pub(super) async fn withdraw_rotten(&self, active: &Active) -> Result<bool, Refusal> {
        let mut rotten = false;
        for (span, piece) in active.inherited().iter() {
            if self.is_intact(active, span, piece).await? {
                continue;
            }
            rotten = true;
            let Span { start, len } = span;
            tracing::error!(key = %active.key, start, len, "bytes are not what they were; asking for them again");
            active
                .append(Entry::Withdrawn {
                    start,
                    len,
                    at: self.clock.now(),
                })
                .await?;
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
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(io_refusal(active.key, &error)),
        }
    }

    /// Checks the whole file against what the client declared.
    pub(super) async fn verify(&self, active: &Active) -> Result<Verified, Refusal> {
        let header = Arc::clone(&active.lock().record.header);
        let declared = &header.declaration.digests;
        if declared.is_empty() {
            return Ok(Verified::Matches { sha256: None });
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
        self.read(active, whole, update)
            .await
            .map_err(|error| io_refusal(active.key, &error))?;
        let computed: Vec<_> = hashers.into_iter().map(Hasher::finish).collect();
        if computed != *declared {
            return Ok(Verified::Differs);
        }
        let sha256 = computed
            .iter()
            .find(|digest| digest.algorithm() == Algorithm::Sha256);
        Ok(Verified::Matches {
            sha256: sha256.map(Digest::to_hex),
        })
    }

    async fn read(
        &self,
        active: &Active,
        span: Span,
        mut each: impl FnMut(&[u8]) + Send,
    ) -> std::io::Result<()> {
        let blob = active.blob_io(self.blobs.as_ref()).await?;
        let mut offset = span.start;
        while offset < span.end() {
            let len = READ_LEN.min(span.end() - offset);
            let bytes = blob
                .read(offset, usize::try_from(len).unwrap_or(usize::MAX))
                .await?;
            each(&bytes);
            offset += len;
        }
        Ok(())
    }
}
