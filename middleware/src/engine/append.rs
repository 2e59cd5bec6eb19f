use std::sync::Arc;

use super::active::Active;
use super::claim::{self, Admitted};
use super::command::{Append, Appended, Source};
use super::deliver::Deliver;
use super::receive::{self, Wanted};
use super::{Engine, Refusal};

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
                receive::compare(source, wanted, crc).await?;
                if !active.is_usable() {
                    return Err(active.refusal());
                }
                true
            }
            Admitted::Write(claim, span) => {
                let wanted = Wanted {
                    span,
                    digests: &append.digests,
                };
                let blob = active.blob(self.blobs.as_ref()).await?;
                let crc = self
                    .receive(active.key, source, blob.as_ref(), &claim, wanted)
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
