use super::active::Active;
use super::{Engine, Refusal};
use crate::admission::{Lane, Origin, Rates, Who};
use crate::upload::{Owner, SessionId};

impl Engine {
    /// How many requests a client may send. For addresses this is asked before a request is looked
    /// at; for owners here, when it is known whose it is.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Counts a request about an upload of this server's for its owner.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] alone: what else is wrong with the request is found by whoever does
    /// what it asks for.
    pub async fn count(&self, id: &SessionId) -> Result<(), Refusal> {
        if !self.rates.are_limited() || self.check_reachable().is_err() {
            return Ok(());
        }
        let Ok(active) = self.active(id.key()).await else {
            return Ok(());
        };
        let owner = active.lock().record.header.owner.clone();
        self.let_go(active);
        self.count_for(&owner)
    }

    /// Counts a request for an owner, where that is somebody.
    pub(super) fn count_for(&self, owner: &Owner) -> Result<(), Refusal> {
        let who = Who::named(owner, &self.config.now().security);
        let counted = who.map_or(Ok(()), |who| self.rates.check(&who));
        counted.map_err(|wait| Refusal::RateLimited { wait })
    }

    /// What the bytes for an upload go by, where bandwidth is limited: its owner's, or else that of
    /// where they come from.
    pub(super) fn lane(&self, active: &Active, origin: Origin) -> Option<Lane> {
        self.bandwidth.lane(|| {
            let owner = &active.lock().record.header.owner;
            let named = Who::named(owner, &self.config.now().security);
            named.unwrap_or(origin.into())
        })
    }
}
