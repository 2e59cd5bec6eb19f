use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blob::Blob;
use crate::store::BoxFuture;
use crate::upload::{Answer, Header, Ranges, UploadKey};

/// Hands finished uploads to whoever is to have them.
pub trait Deliver: Send + Sync + 'static {
    /// Makes one attempt. It may be dropped, and may panic, at any point.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Delivered>;
}

/// A finished upload.
#[derive(Clone)]
pub struct Delivery {
    /// Its name.
    pub key: UploadKey,
    /// What it is.
    pub header: Arc<Header>,
    /// Its bytes.
    pub blob: Arc<dyn Blob>,
    /// What they were when they were received: whoever reads them compares.
    pub pieces: Ranges,
    /// Where the reader says that they are something else.
    pub damage: Damage,
    /// Whether its SHA-256 is still to be computed.
    pub wants_sha256: bool,
}

/// Whether the bytes of a hand-off could not be read as they were received. Whatever the handler
/// did then, it was not about the file.
#[derive(Clone, Debug, Default)]
pub struct Damage(Arc<AtomicBool>);

impl Damage {
    /// Says so.
    pub fn report(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody did.
    #[must_use]
    pub fn is_reported(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What became of an attempt.
pub enum Delivered {
    /// The handler answered.
    Answered {
        /// Its answer.
        answer: Answer,
        /// SHA-256 of the bytes it was given, lower-case hex, if it took them all.
        sha256: Option<String>,
    },
    /// The handler's service failed; why is in the log.
    Broken,
}
