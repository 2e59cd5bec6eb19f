use std::future::poll_fn;
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
use crate::upload::{Span, Target};

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
        let active = match self.live(append.id.key()).await {
            Err(Refusal::NoSession) => return Err(self.absent(&append.id).await),
            opened => opened?,
        };
        let ticket = active.lock().claims.arrive();
        self.pass_gate(&active, append, source).await?;
        self.pass_queue(&active, append.target).await?;
        let duplicate = match claim::admit(&active, ticket, append.target).await? {
            Admitted::Duplicate(span, crc) => {
                let wanted = Wanted {
                    span,
                    digests: &append.digests,
                };
                let mut source = self.paced(&active, append, source, span);
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
                let mut source = self.paced(&active, append, source, span);
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

    /// Lets a request in that is to bring bytes. One whose client has left is not waited for: what
    /// came of it is all there is.
    async fn pass_gate(
        &self,
        active: &Active,
        append: &Append,
        source: &mut dyn Source,
    ) -> Result<(), Refusal> {
        if self.gate.is_open() {
            return Ok(());
        }
        // What no pause changes is said at once.
        claim::check(active, append.target)?;
        let settle = self.config.now().network.settle;
        let opened = timeout(settle + PAUSE_MARGIN, self.gate.opened());
        tokio::select! {
            opened = opened => opened.map_err(|_| Refusal::Paused { settle }),
            () = poll_fn(|cx| source.poll_left(cx)) => Ok(()),
        }
    }

    /// Lets a request in that is to write, when there is room in the queue. It holds nothing while
    /// it waits.
    async fn pass_queue(&self, active: &Active, target: Target) -> Result<(), Refusal> {
        if !self.queue.is_full() || !claim::is_write(active, target)? {
            return Ok(());
        }
        tokio::select! {
            biased;
            room = self.queue.room() => room.map_err(|_| Refusal::Crowded),
            () = self.ending.cancelled() => Err(Refusal::Draining),
        }
    }

    /// The body of a request for `span`, read in time, not in pauses, and not faster than its client
    /// may send.
    fn paced<'a>(
        &'a self,
        active: &Active,
        append: &Append,
        source: &'a mut dyn Source,
        span: Span,
    ) -> Paced<'a> {
        let config = self.config.now();
        let patience = Patience {
            stall: config.uploads.stall_timeout,
            rate_min: config.uploads.min_rate,
            // For the network none lasts so long.
            pause: config.network.max_pause + PAUSE_MARGIN,
        };
        Paced::new(
            source,
            span.len,
            (&self.gate, patience, self.lane(active, append.origin)),
            self.events().counts(),
        )
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
