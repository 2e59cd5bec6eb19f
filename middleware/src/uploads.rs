use std::sync::Arc;

use crate::engine::{Engine, Place, Redelivery, Refusal, View};
use crate::event::Subscription;
use crate::network::By;
use crate::upload::{SessionId, UploadKey};

/// Most uploads in one answer of [`Uploads::list`].
const PAGE_MAX: usize = 1_000;

/// The uploads of a layer, for the app: from [`SteadfastLayer::uploads`](crate::SteadfastLayer::uploads).
///
/// Uploads go by their key, which is what logs and events call them; the session id belongs to the
/// client. With sessions in Redis these are the uploads of this server. It is to be used on the
/// runtime that the app runs on, which also does what is begun here.
///
/// ```
/// use steadfast::{Event, SteadfastLayer, UploadConfig};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let mut config = UploadConfig::default();
/// # config.uploads.state_dir = dir.path().join("state");
/// let (layer, driver) = SteadfastLayer::from_config(config).await?;
/// let uploads = layer.uploads();
/// let mut events = uploads.subscribe();
///
/// assert!(uploads.list(None, 100).await.uploads.is_empty());
/// uploads.pause();
/// assert_eq!(events.next().await, Some(Ok(Event::Paused)));
/// uploads.resume();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Uploads {
    // Not all that the layer shares: who manages uploads does not keep its directory locked.
    engine: Arc<Engine>,
}

/// Some uploads of a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// How they stand, newest first.
    pub uploads: Vec<View>,
    /// Where the list goes on, unless it ends here.
    pub next: Option<Cursor>,
}

/// A place in the list of uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(Place);

/// Why nothing was done to an upload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// There is none, or its time is over.
    #[error("there is no such upload")]
    Unknown,
    /// Its log is damaged.
    #[error("the upload is lost")]
    Lost,
    /// It is being handed over.
    #[error("the upload is being handed over")]
    Finishing,
    /// It was handed over.
    #[error("the upload is completed")]
    Completed,
    /// It is not one that its handler has refused, or that waits for it.
    #[error("the upload cannot be handed over again")]
    Unfit,
    /// [`Driver::deliver_through`](crate::Driver::deliver_through) was not called, or the driver does
    /// not run.
    #[error("the driver knows no app to hand uploads to")]
    NoApp,
    /// Another server keeps it.
    #[error("the server {0} keeps the upload")]
    Elsewhere(String),
    /// The disk, or what servers share, cannot be used now; the log says why.
    #[error("uploads cannot be used now")]
    Unavailable,
}

impl Uploads {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Uploads, newest first: `limit` at most (and 1,000), from the start or where an earlier page
    /// ended. Those of an earlier process are listed once they were found, soon after the start; an
    /// upload whose log cannot be read is left out.
    pub async fn list(&self, from: Option<Cursor>, limit: usize) -> Page {
        let limit = limit.clamp(1, PAGE_MAX);
        let (uploads, next) = self
            .engine
            .newest(from.map(|Cursor(place)| place), limit)
            .await;
        Page {
            uploads,
            next: next.map(Cursor),
        }
    }

    /// How an upload stands.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn status(&self, key: UploadKey) -> Result<View, UploadError> {
        Ok(self.engine.status_here(key).await?.0)
    }

    /// The same by what its client holds, also where another server keeps it.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn status_by_id(&self, id: &SessionId) -> Result<View, UploadError> {
        Ok(self.engine.status(id).await?.0)
    }

    /// Gives an upload up: its bytes go. No error when that was done before.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn cancel(&self, key: UploadKey) -> Result<(), UploadError> {
        Ok(self.engine.cancel_here(key).await?)
    }

    /// Hands an upload over now: one that its handler has refused (its bytes are kept for
    /// `result_retention`), one that is held under `on_unknown = "hold"`, or one that waits for its
    /// next attempt. What becomes of it, status and events tell.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn redeliver(&self, key: UploadKey) -> Result<(), UploadError> {
        match self.engine.redeliver(key).await? {
            Redelivery::Due => Ok(()),
            Redelivery::Unfit => Err(UploadError::Unfit),
            Redelivery::Nobody => Err(UploadError::NoApp),
        }
    }

    /// Has all uploads wait until [`Uploads::resume`], whatever the network does. Chunks that are on
    /// their way wait as in a pause for the network, for `network.max_pause`; then, and for new ones
    /// after a while, the answer is 503 `paused`.
    pub fn pause(&self) {
        if self.engine.gate().shut(By::Operator) {
            tracing::info!("uploads are paused by hand");
        }
    }

    /// Ends [`Uploads::pause`]; a pause for the network goes on.
    pub fn resume(&self) {
        if self.engine.gate().open(By::Operator) {
            tracing::info!("uploads are no longer paused by hand");
        }
    }

    /// Whether uploads wait, for whatever reason.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        !self.engine.gate().is_open()
    }

    /// What happens from now on. No upload waits for a subscriber: one that is more than about a
    /// thousand events behind loses the oldest, and is told how many.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.engine.events().subscribe()
    }
}

impl From<Refusal> for UploadError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSession => Self::Unknown,
            Refusal::StateLost => Self::Lost,
            Refusal::Finishing => Self::Finishing,
            Refusal::Completed => Self::Completed,
            Refusal::Elsewhere(peer) | Refusal::NoAnswer(peer) => Self::Elsewhere(peer.name),
            _ => Self::Unavailable,
        }
    }
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}
