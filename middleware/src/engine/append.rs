use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::active::Active;
use super::claim::{self, Admitted};
use super::command::{Append, Appended, Source};
use super::deliver::Deliver;
use super::paced::{Paced, Patience};
use super::receive::{self, Wanted};
use super::{Engine, Refusal};

/// A request waits for the network this much longer than it should have to.
const PAUSE_MARGIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Adds bytes to an upload, and hands it over when none is missing any more.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of these bytes is kept then. `source` may be read further.
    pub async fn append(
        self: &Arc<Self>,
        append: &Append,
        source: &mut dyn Source,
        deliver: Arc<dyn Deliver>,
    ) -> Result<Appended, Refusal> {
        self.check_reachable()?;
        self.pass_gate().await?;
        let active = match self.live(append.id.key()).await {
            Err(Refusal::NoSession) => return Err(self.absent(&append.id).await),
            opened => opened?,
        };
        let duplicate = match claim::admit(&active, append.target).await? {
            Admitted::Duplicate(span, crc) => {
                let wanted = Wanted {
                    span,
                    digests: &append.digests,
                };
                let mut source = self.paced(source);
                receive::compare(&mut source, wanted, crc).await?;
                if !active.is_usable() {
                    return Err(active.refusal());
                }
                active.counts().duplicates.add(1);
                true
            }
            Admitted::Write(claim, span) => {
                let wanted = Wanted {
                    span,
                    digests: &append.digests,
                };
                let blob = active.blob(self.blobs.as_ref()).await?;
                let mut source = self.paced(source);
                let crc = self
                    .receive(active.key, &mut source, blob.as_ref(), &claim, wanted)
                    .await;
                // Not by a newer request was it stopped, then.
                if !active.is_usable() {
                    return Err(active.refusal());
                }
                let crc = crc?;
                claim.commit()?;
                self.commit(&active, claim, span, crc, &deliver).await?;
                false
            }
        };
        let view = self.conclude(&active, &deliver, duplicate).await;
        self.let_go(active);
        Ok(Appended { duplicate, view })
    }

    /// Lets a request in that is to bring bytes.
    async fn pass_gate(&self) -> Result<(), Refusal> {
        let wait = self.config.network.settle + PAUSE_MARGIN;
        match timeout(wait, self.gate.opened()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Refusal::Paused),
        }
    }

    /// The body of a request, read in time and not in pauses.
    fn paced<'a>(&'a self, source: &'a mut dyn Source) -> Paced<'a> {
        let patience = Patience {
            stall: self.config.uploads.stall_timeout,
            rate_min: self.config.uploads.min_rate,
            // For the network none lasts so long.
            pause: self.config.network.max_pause + PAUSE_MARGIN,
        };
        Paced::new(source, &self.gate, patience, self.events().counts())
    }

    /// Opens an upload that has not expired.
    pub(super) async fn live(&self, key: crate::upload::UploadKey) -> Result<Arc<Active>, Refusal> {
        let active = self.active(key).await?;
        let deadlines = self.deadlines();
        if deadlines.has_expired(&active.lock().record) {
            Err(Refusal::NoSession)
        } else {
            Ok(active)
        }
    }
}
