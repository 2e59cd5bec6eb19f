use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::Refusal;
use crate::store::StoreError;
use crate::upload::UploadKey;
use crate::volume::{is_full, is_out_of_files};

/// Shut for good by the first write or flush that fails for another reason than lack of room.
///
/// What such an error took with it nobody can tell: a later flush succeeds, a read shows what is
/// in the cache, and the disk has neither. So nothing more is promised; the next process reads
/// what there is.
#[derive(Debug)]
pub(super) struct Latch {
    shut: AtomicBool,
    /// Ends what the engine would still begin.
    draining: CancellationToken,
}

impl Latch {
    pub(super) fn new(draining: CancellationToken) -> Self {
        Self {
            shut: AtomicBool::new(false),
            draining,
        }
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    /// Logs that bytes could not be written or flushed, and says what the client is told.
    pub(super) fn refuse(&self, key: UploadKey, error: &io::Error) -> Refusal {
        use io::ErrorKind::{FileTooLarge, OutOfMemory};
        match error.kind() {
            _ if is_full(error) => {
                tracing::warn!(%key, "no space is left for the upload");
                Refusal::NoSpace
            }
            _ if is_out_of_files(error) => {
                tracing::error!(%key, %error, "the server may open no more files: raise its limit");
                Refusal::Internal
            }
            FileTooLarge | OutOfMemory => {
                tracing::error!(%key, %error, "the upload cannot be written");
                Refusal::Internal
            }
            _ => {
                self.shut(key, error);
                Refusal::Unavailable
            }
        }
    }

    /// The same for a log, whatever went wrong with it.
    pub(super) fn refuse_log(&self, key: UploadKey, error: &StoreError) -> Refusal {
        let source = error as &dyn std::error::Error;
        match error {
            StoreError::Write(error) => self.refuse(key, error),
            error if error.is_full() => {
                tracing::warn!(%key, "no space is left for the log of the upload");
                Refusal::NoSpace
            }
            StoreError::Damaged(_) => {
                tracing::error!(%key, error = source, "the upload is lost");
                Refusal::StateLost
            }
            StoreError::Elsewhere(peer) => {
                tracing::warn!(%key, server = peer.name, "the upload belongs to another server");
                Refusal::Elsewhere(peer.clone())
            }
            // The store says so, once for all uploads.
            StoreError::Unavailable => Refusal::Unreachable,
            // That was told when it was put aside.
            StoreError::Lost => Refusal::StateLost,
            _ => {
                tracing::error!(%key, error = source, "the upload cannot go on");
                Refusal::Internal
            }
        }
    }

    /// Ends all promises.
    pub(super) fn shut(&self, key: UploadKey, error: &io::Error) {
        if !self.shut.swap(true, Ordering::AcqRel) {
            tracing::error!(
                %key, %error,
                "the disk failed to keep an upload: no more is taken until the server is restarted"
            );
            self.draining.cancel();
        }
    }
}
