use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Refusal;
use super::active::{Active, Inner};
use crate::upload::{Entry, Plan, Record, Span, Target, Violation, plan_append};

/// Longest wait for an older request to stop, or to become durable.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The requests that add bytes to an upload now, oldest first.
///
/// The newest request for a range wins: it tells the older ones to stop, and starts when they
/// have stopped. A request whose last byte has arrived is not told any more; the newer one waits
/// and finds its bytes held.
#[derive(Default)]
pub(super) struct Claims {
    next_ticket: u64,
    holders: Vec<Holder>,
}

struct Holder {
    ticket: u64,
    span: Span,
    committing: bool,
    stop: CancellationToken,
}

impl Claims {
    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// Tells every request that still receives to stop.
    pub(super) fn stop_all(&self) {
        for holder in self.holders.iter().filter(|holder| !holder.committing) {
            holder.stop.cancel();
        }
    }

    /// Gives a request that has come its number, before anything is taken from others.
    pub(super) fn arrive(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        Ticket(ticket)
    }

    /// Lets a request in; also answers how many older ones it has told to stop. Nothing when a newer
    /// request for these bytes has entered already.
    fn enter(&mut self, Ticket(ticket): Ticket, span: Span) -> Option<(CancellationToken, u64)> {
        if self.overlapping(span).any(|holder| holder.ticket > ticket) {
            return None;
        }
        let receives = |holder: &&Holder| !holder.committing && !holder.stop.is_cancelled();
        let mut superseded = 0;
        for holder in self.overlapping(span).filter(receives) {
            holder.stop.cancel();
            superseded += 1;
        }
        let stop = CancellationToken::new();
        self.holders.push(Holder {
            ticket,
            span,
            committing: false,
            stop: stop.clone(),
        });
        Some((stop, superseded))
    }

    fn leave(&mut self, ticket: u64) {
        self.holders.retain(|holder| holder.ticket != ticket);
    }

    fn overlapping(&self, span: Span) -> impl Iterator<Item = &Holder> {
        self.holders
            .iter()
            .filter(move |holder| holder.span.overlaps(span))
    }

    fn is_first(&self, ticket: u64, span: Span) -> bool {
        self.overlapping(span).all(|holder| holder.ticket >= ticket)
    }

    fn commit(&mut self, ticket: u64) -> bool {
        let holder = self
            .holders
            .iter_mut()
            .find(|holder| holder.ticket == ticket);
        holder.is_some_and(|holder| {
            holder.committing = !holder.stop.is_cancelled();
            holder.committing
        })
    }
}

/// When a request came, among those of its upload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

/// The right to write a range; it ends when the last holder drops it.
pub(super) struct Claim {
    active: Arc<Active>,
    ticket: u64,
    stop: CancellationToken,
}

impl Claim {
    /// Resolves when a newer request wants the range.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Marks that the last byte has arrived.
    ///
    /// # Errors
    /// [`Refusal::Superseded`] when a newer request was first.
    pub(super) fn commit(&self) -> Result<(), Refusal> {
        let mut inner = self.active.lock();
        if inner.claims.commit(self.ticket) {
            Ok(())
        } else {
            Err(Refusal::Superseded)
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.active.lock().claims.leave(self.ticket);
        self.active.changed.notify_waiters();
    }
}

/// What a request may do.
pub(super) enum Admitted {
    /// Write this range.
    Write(Arc<Claim>, Span),
    /// Compare with this checksum.
    Duplicate(Span, u32),
}

/// Whether a request is to write, as it looks now.
pub(super) fn is_write(active: &Active, target: Target) -> Result<bool, Refusal> {
    if !active.is_usable() {
        return Err(active.refusal());
    }
    let plan = plan(&active.lock(), target)?;
    Ok(matches!(plan, Plan::Write { .. }))
}

/// Plans a request and waits until older ones for the same bytes are out of the way.
pub(super) async fn admit(
    active: &Arc<Active>,
    ticket: Ticket,
    target: Target,
) -> Result<Admitted, Refusal> {
    let (claim, span) = match enter(active, ticket, target).await? {
        Entered::Claimed(claim, span) => (claim, span),
        Entered::Held(span, crc) => return Ok(Admitted::Duplicate(span, crc)),
    };
    let turn = wait_for_turn(active, &claim, span);
    tokio::time::timeout(WAIT_MAX, turn)
        .await
        .map_err(|_| Refusal::Busy)??;
    // An older request may have made the bytes durable meanwhile.
    let held = active.lock().record.ranges.piece(span);
    Ok(match held {
        Some(piece) => Admitted::Duplicate(span, piece.crc),
        None => Admitted::Write(Arc::new(claim), span),
    })
}

/// The verdict on a request that needs neither its bytes nor a claim.
///
/// # Errors
/// Why it can never be admitted as it is.
pub(super) fn check(active: &Active, target: Target) -> Result<(), Refusal> {
    if !active.is_usable() {
        return Err(active.refusal());
    }
    plan(&active.lock(), target).map(drop)
}

enum Entered {
    Claimed(Claim, Span),
    Held(Span, u32),
}

async fn enter(active: &Arc<Active>, ticket: Ticket, target: Target) -> Result<Entered, Refusal> {
    loop {
        if let Some(entered) = try_enter(active, ticket, target).await? {
            return Ok(entered);
        }
        adopt(active, target).await?;
    }
}

/// Enters a request, unless it changes the chunk size first.
async fn try_enter(
    active: &Arc<Active>,
    ticket: Ticket,
    target: Target,
) -> Result<Option<Entered>, Refusal> {
    let _size_stays = active.planning.read().await;
    let mut inner = active.lock();
    // Whoever removes the upload marks it first and stops those who are in afterwards.
    if !active.is_usable() {
        return Err(active.refusal());
    }
    inner.used = Instant::now();
    Ok(match plan(&inner, target)? {
        Plan::Duplicate { span, held } => Some(Entered::Held(span, held.crc)),
        Plan::Write { span, adopt: None } => {
            let entered = inner.claims.enter(ticket, span);
            let (stop, superseded) = entered.ok_or(Refusal::Superseded)?;
            active.counts().takeovers.add(superseded);
            let claim = Claim {
                active: Arc::clone(active),
                ticket: ticket.0,
                stop,
            };
            Some(Entered::Claimed(claim, span))
        }
        Plan::Write { adopt: Some(_), .. } => None,
    })
}

/// Puts the chunk size of a request on record, unless somebody else came first; in a task of its
/// own, because an entry that is begun must be folded in as well.
async fn adopt(active: &Arc<Active>, target: Target) -> Result<(), Refusal> {
    let active = Arc::clone(active);
    let task = tokio::spawn(async move {
        let _nobody_enters = active.planning.write().await;
        let entry = |inner: &Inner| match plan(inner, target)? {
            Plan::Write {
                adopt: Some(bytes), ..
            } => Ok(Some(Entry::ChunkSize { bytes })),
            _ => Ok(None),
        };
        active.append_if(entry).await
    });
    task.await.unwrap_or(Err(Refusal::Internal))
}

fn plan(inner: &Inner, target: Target) -> Result<Plan, Refusal> {
    let plan = plan_append(&inner.record, target, !inner.claims.is_empty());
    plan.map_err(|violation| refusal(&inner.record, violation))
}

fn refusal(record: &Record, violation: Violation) -> Refusal {
    match violation {
        Violation::ChunkRange { total_chunks } => Refusal::ChunkRange { total_chunks },
        Violation::ChunkLength { expected } => Refusal::ChunkLength { expected },
        Violation::Cancelled => Refusal::Cancelled,
        Violation::Contradiction => {
            tracing::error!(state = %record.state, "an upload holds bytes it cannot hold");
            Refusal::StateLost
        }
    }
}

async fn wait_for_turn(active: &Active, claim: &Claim, span: Span) -> Result<(), Refusal> {
    let turn = wait_until(active, |inner| inner.claims.is_first(claim.ticket, span));
    tokio::select! {
        biased;
        () = claim.stop.cancelled() => Err(Refusal::Superseded),
        () = turn => Ok(()),
    }
}

/// Waits until no request adds bytes any more.
pub(super) async fn wait_for_all(active: &Active) -> Result<(), Refusal> {
    let gone = wait_until(active, |inner| inner.claims.is_empty());
    tokio::time::timeout(WAIT_MAX, gone)
        .await
        .map_err(|_| Refusal::Busy)
}

/// Waits until what requests share is as `ready` wants it.
pub(super) async fn wait_until(active: &Active, ready: impl Fn(&Inner) -> bool) {
    loop {
        let changed = active.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if ready(&active.lock()) {
            return;
        }
        changed.await;
    }
}
