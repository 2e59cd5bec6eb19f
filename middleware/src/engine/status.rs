use std::sync::atomic::Ordering;

use super::{Engine, Gaps, Refusal, View};
use crate::upload::UploadKey;

/// Most ranges of missing chunks in one answer.
pub(super) const RANGES_MAX: usize = 1_000;

impl Engine {
    /// Number of unfinished uploads that are known; all of them once [`Engine::recover`] is done.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.budget.sessions()
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
    pub async fn status(&self, key: UploadKey) -> Result<(View, Gaps), Refusal> {
        self.check_reachable()?;
        // Opening makes durable what is told here.
        let active = match self.active(key).await {
            Err(Refusal::Elsewhere(_)) => return self.status_elsewhere(key).await,
            opened => opened?,
        };
        let deadlines = self.deadlines();
        let seen = {
            let record = &active.lock().record;
            let view = View::new(key, record, &deadlines, deadlines.now);
            (view, Gaps::new(record, RANGES_MAX))
        };
        self.let_go(active);
        if seen.0.expires <= deadlines.now {
            Err(Refusal::NoSession)
        } else {
            Ok(seen)
        }
    }
}
