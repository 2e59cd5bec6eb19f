use tokio_util::sync::CancellationToken;

use super::{Engine, Gaps, Refusal, View};
use crate::event::{Full, Watch};
use crate::upload::SessionId;

impl Engine {
    /// The events of an upload of this server's, and how it stood not earlier than when they began.
    ///
    /// # Errors
    /// Those of [`Engine::status`], [`Refusal::Elsewhere`], or [`Refusal::TooManyStreams`].
    pub async fn watch(&self, id: &SessionId) -> Result<(Watch, View, Gaps), Refusal> {
        self.check_reachable()?;
        if self.ending.is_cancelled() {
            return Err(Refusal::Draining);
        }
        // Nobody holds a place for an upload that is not here.
        self.standing(id).await?;
        let watch = self.events().watch(id.key());
        let watch = watch.map_err(|full| Refusal::TooManyStreams {
            of_upload: full == Full::Upload,
        })?;
        let (view, gaps) = self.standing(id).await?;
        Ok((watch, view, gaps))
    }

    /// How an upload of this server's stands.
    ///
    /// # Errors
    /// Those of [`Engine::status`], or [`Refusal::Elsewhere`].
    pub async fn standing(&self, id: &SessionId) -> Result<(View, Gaps), Refusal> {
        match self.status_here(id.key()).await {
            Err(Refusal::NoSession) => Err(self.absent(id).await),
            status => status,
        }
    }

    /// Cancelled when the process was asked to end.
    #[must_use]
    pub fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }
}
