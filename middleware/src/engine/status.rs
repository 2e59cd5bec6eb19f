use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::active::Active;
use super::{Engine, Gaps, Refusal, View};
use crate::upload::{SessionId, UploadKey};

/// Most ranges of missing chunks in one answer.
pub(super) const RANGES_MAX: usize = 1_000;

impl Engine {
    /// Number of unfinished uploads that are known; all of them once [`Engine::recover`] is done.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.budget.sessions()
    }

    /// Number of uploads that bytes are arriving for.
    #[must_use]
    pub fn receiving(&self) -> usize {
        let all = self.table.all();
        let receives = |active: &&Arc<Active>| !active.lock().claims.is_empty();
        all.iter().filter(receives).count()
    }

    /// How many uploads of this server's are in which state, and how many are lost; all of them once
    /// [`Engine::recover`] is done.
    pub fn states(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        self.known.counts()
    }

    /// Number of uploads that this process found to be lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How an upload stands, and what is missing of it. Starts nothing.
    ///
    /// # Errors
    /// [`Refusal::NoSession`], [`Refusal::StateLost`], or a failure of ours.
    pub async fn status(&self, id: &SessionId) -> Result<(View, Gaps), Refusal> {
        self.check_reachable()?;
        match self.status_here(id.key()).await {
            Err(Refusal::NoSession | Refusal::Elsewhere(_)) => self.status_elsewhere(id).await,
            status => status,
        }
    }

    /// The same for an upload of this server's.
    pub async fn status_here(&self, key: UploadKey) -> Result<(View, Gaps), Refusal> {
        // Opening makes durable what is told here.
        let active = self.active(key).await?;
        let deadlines = self.deadlines();
        let mut seen = {
            let record = &active.lock().record;
            let view = View::new(key, record, &deadlines, deadlines.now);
            (view, Gaps::new(record, RANGES_MAX))
        };
        self.let_go(active);
        seen.0.paused = self.is_paused(seen.0.state);
        if seen.0.expires <= deadlines.now {
            Err(Refusal::NoSession)
        } else {
            Ok(seen)
        }
    }
}
