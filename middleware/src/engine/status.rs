use super::{Engine, Gaps, Refusal, View};
use crate::upload::{Record, UploadKey};

/// Most ranges of missing chunks in one answer.
const RANGES_MAX: usize = 1_000;

impl Engine {
    /// Number of unfinished uploads that are known; all of them once [`Engine::recover`] is done.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.budget.sessions()
    }

    /// How an upload stands, and what is missing of it. Starts nothing.
    ///
    /// # Errors
    /// [`Refusal::NoSession`], [`Refusal::StateLost`], or a failure of ours.
    pub async fn status(&self, key: UploadKey) -> Result<(View, Gaps), Refusal> {
        // Opening makes durable what is told here.
        let active = self.active(key).await?;
        let seen = self.look(key, &active.lock().record);
        self.let_go(active);
        if seen.0.expires <= self.clock.now() {
            Err(Refusal::NoSession)
        } else {
            Ok(seen)
        }
    }

    fn look(&self, key: UploadKey, record: &Record) -> (View, Gaps) {
        let view = View::new(key, record, &self.deadlines(), self.clock.now());
        (view, Gaps::new(record, RANGES_MAX))
    }
}
