use std::sync::{Arc, Weak};

use super::active::Active;
use super::{Engine, Refusal};
use crate::upload::{Record, State, UploadKey};

/// What became of a wish to hand an upload over again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// It is due now.
    Due,
    /// It is not one that can be: its bytes are not all here, or not any more.
    Unfit,
    /// Nobody has said to whom.
    Nobody,
}

impl Engine {
    /// Hands an upload over now: one that its handler has refused, and whose bytes are kept for that;
    /// one that is held, because nobody can tell what the handler did; or one that waits for its next
    /// attempt.
    ///
    /// # Errors
    /// [`Refusal::NoSession`], [`Refusal::StateLost`], or a failure of ours.
    pub async fn redeliver(self: &Arc<Self>, key: UploadKey) -> Result<Redelivery, Refusal> {
        self.check_reachable()?;
        let Some(deliver) = self.background.get().and_then(Weak::upgrade) else {
            return Ok(Redelivery::Nobody);
        };
        let active = self.live(key).await?;
        let (fits, again) = {
            let record = &active.lock().record;
            let again = can_be_redelivered(record);
            (again || self.is_due(record), again)
        };
        if fits {
            // Where it is due already, there is nothing to add.
            self.want_hand_off(key, &deliver, again);
        }
        self.let_go(active);
        Ok(if fits {
            Redelivery::Due
        } else {
            Redelivery::Unfit
        })
    }

    /// Counts an upload among the unfinished ones again, which it had left.
    pub(super) fn count_again(&self, active: &Active) {
        let key = active.key;
        let record = &active.lock().record;
        self.budget.admit(key, self.clock.read().steady);
        self.describe(key, record);
        self.note(key, record);
    }
}

/// Whether an upload can be handed over once more, if somebody asks for it: all its bytes are kept,
/// and it does not wait for an attempt by itself.
pub(super) fn can_be_redelivered(record: &Record) -> bool {
    match record.state {
        // What is not as its client declared has no bytes any more.
        State::Rejected => record.answer.is_some(),
        State::Unknown => true,
        _ => false,
    }
}
