use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::claim::Claim;
use super::{Engine, Refusal, Source, SourceError};
use crate::blob::{Blob, Hold};
use crate::sabotage::{Bug, has};
use crate::upload::{Crc32c, Digest, Hasher, Span, UploadKey};
use crate::volume::is_full;

/// When a client is told to come back after a pause that took too long: nobody knows when it ends.
const LONG_PAUSE_RETRY: Duration = Duration::from_secs(2);

impl Engine {
    /// Writes the bytes of a request as they arrive, and answers their CRC-32C. Nothing is kept
    /// unless the caller commits it.
    pub(super) async fn receive(
        &self,
        key: UploadKey,
        source: &mut dyn Source,
        blob: &dyn Blob,
        claim: &Arc<Claim>,
        wanted: Wanted<'_>,
    ) -> Result<u32, Refusal> {
        let mut intake = Intake::new(wanted);
        let stopped = claim.stopped();
        tokio::pin!(stopped);
        loop {
            let next = tokio::select! {
                biased;
                () = &mut stopped => return Err(Refusal::Superseded),
                next = poll_fn(|cx| source.poll_next(cx)) => next,
            };
            let Some(bytes) = next else { break };
            let offset = intake.offset();
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(_) if has(Bug::NoLengthCheck) => break,
                Err(error) => return Err(error.into()),
            };
            intake.take(&bytes)?;
            let written = match blob.write_now(offset, &bytes) {
                Some(written) => written,
                None => {
                    let hold: Hold = Arc::<Claim>::clone(claim);
                    blob.write(offset, bytes, hold).await
                }
            };
            written.map_err(|error| self.latch.refuse(key, &error))?;
        }
        intake.finish()
    }
}

/// Reads the bytes of a request that are held already, and compares their checksum.
pub(super) async fn compare(
    source: &mut dyn Source,
    wanted: Wanted<'_>,
    held_crc: u32,
) -> Result<(), Refusal> {
    let mut intake = Intake::new(wanted);
    while let Some(bytes) = poll_fn(|cx| source.poll_next(cx)).await {
        intake.take(&bytes.map_err(Refusal::from)?)?;
    }
    if intake.finish()? == held_crc {
        Ok(())
    } else {
        Err(Refusal::ChunkConflict)
    }
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Broken => Self::BodyIncomplete,
            SourceError::TooSlow => Self::TooSlow,
            SourceError::Paused => Self::Paused {
                settle: LONG_PAUSE_RETRY,
            },
        }
    }
}

/// What a request is to bring.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) span: Span,
    pub(super) digests: &'a [Digest],
}

/// Counts and checks bytes as they arrive.
struct Intake<'a> {
    wanted: Wanted<'a>,
    len: u64,
    crc: Crc32c,
    hashers: Vec<Hasher>,
}

impl<'a> Intake<'a> {
    fn new(wanted: Wanted<'a>) -> Self {
        let hashers = wanted
            .digests
            .iter()
            .map(|digest| Hasher::new(digest.algorithm()))
            .collect();
        Self {
            wanted,
            len: 0,
            crc: Crc32c::default(),
            hashers,
        }
    }

    /// Where the next byte goes.
    fn offset(&self) -> u64 {
        self.wanted.span.start + self.len
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.len += bytes.len() as u64;
        if self.len > self.wanted.span.len {
            return Err(self.wrong_length());
        }
        self.crc.update(bytes);
        for hasher in &mut self.hashers {
            hasher.update(bytes);
        }
        Ok(())
    }

    fn finish(self) -> Result<u32, Refusal> {
        if self.len != self.wanted.span.len && !has(Bug::NoLengthCheck) {
            return Err(self.wrong_length());
        }
        let digests = self.hashers.into_iter().map(Hasher::finish);
        if digests
            .zip(self.wanted.digests)
            .any(|(computed, declared)| computed != *declared)
        {
            return Err(Refusal::DigestMismatch);
        }
        Ok(self.crc.finish())
    }

    fn wrong_length(&self) -> Refusal {
        Refusal::ChunkLength {
            expected: self.wanted.span.len,
        }
    }
}

/// Logs why bytes could not be written or read, and says what the client is told.
pub(super) fn io_refusal(key: UploadKey, error: &io::Error) -> Refusal {
    if is_full(error) {
        tracing::warn!(%key, "no space is left for the bytes of the upload");
        return Refusal::NoSpace;
    }
    tracing::error!(%key, %error, "the bytes of the upload cannot be written or read");
    Refusal::Internal
}
