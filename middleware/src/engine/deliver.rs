use std::sync::Arc;

use crate::blob::Blob;
use crate::store::BoxFuture;
use crate::upload::{Answer, Header, UploadKey};

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
    /// Whether its SHA-256 is still to be computed.
    pub wants_sha256: bool,
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
