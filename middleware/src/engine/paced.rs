use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::command::{Source, SourceError};
use crate::admission::Lane;
use crate::event::Counts;
use crate::network::Gate;

/// The rate of a body is looked at when it has been waited for this long.
const RATE_OVER: Duration = Duration::from_secs(30);

/// How long the bytes of a request may keep the server waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the next bytes.
    pub(super) stall: Duration,
    /// Bytes a second there have to be at least.
    pub(super) rate_min: u64,
    /// For the end of a pause.
    pub(super) pause: Duration,
}

/// The body of a request, read while the gate is open, as fast as its client may send, and not for
/// longer than patience lasts.
///
/// What counts is the time for which the server waited for the client: not the time it took to
/// write, no pause, and not the time until its turn.
pub(super) struct Paced<'a> {
    source: &'a mut dyn Source,
    /// Bytes that are to come, in all.
    len: u64,
    gate: &'a Gate,
    patience: Patience,
    /// Waits for the gate, while it is shut.
    pause: Option<Pause>,
    /// Where the client's bandwidth is limited.
    lane: Option<Lane>,
    waited: Waited,
    timer: Option<Pin<Box<Sleep>>>,
    /// All the bytes that have come.
    received: u64,
    counts: &'a Counts,
}

type Pause = Pin<Box<dyn Future<Output = Result<(), Elapsed>> + Send>>;

/// For how long the client was waited for.
#[derive(Debug, Default)]
struct Waited {
    /// Since when, if it is now; and how long the gate had been shut by then.
    since: Option<(Instant, Duration)>,
    /// For all the bytes that have come.
    before: Duration,
    /// When the rate was last looked at, in this time, and the bytes since.
    looked: Duration,
    bytes: u64,
}

impl<'a> Paced<'a> {
    /// The body of a request that is to bring `len` bytes.
    pub(super) fn new(
        source: &'a mut dyn Source,
        len: u64,
        (gate, patience, lane): (&'a Gate, Patience, Option<Lane>),
        counts: &'a Counts,
    ) -> Self {
        Self {
            source,
            len,
            gate,
            patience,
            pause: None,
            lane,
            waited: Waited::default(),
            timer: None,
            received: 0,
            counts,
        }
    }

    /// Waits for the gate. A client that has left is not waited for: what came of it is all there
    /// is.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        if self.pause.is_none() && !self.gate.is_open() {
            let opened = timeout(self.patience.pause, self.gate.opened());
            self.pause = Some(Box::pin(opened));
        }
        let Some(pause) = &mut self.pause else {
            return Poll::Ready(Ok(()));
        };
        if let Poll::Ready(opened) = pause.as_mut().poll(cx) {
            self.pause = None;
            return Poll::Ready(opened.map_err(|_| SourceError::Paused));
        }
        self.source.poll_left(cx).map(Ok)
    }

    /// Waits until more may be read of what the client sends, unless it has left.
    fn poll_lane(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let opened = self.lane.as_mut().map(|lane| lane.poll_open(cx));
        match opened {
            Some(Poll::Pending) => self.source.poll_left(cx),
            _ => Poll::Ready(()),
        }
    }

    /// Nothing has come: for how much longer is that borne?
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = self.waited.left(&self.patience, self.gate);
            if left.is_zero() {
                return Poll::Ready(());
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(left)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It was set for bytes that have come since, or in a pause.
            timer
                .as_mut()
                .reset(Instant::now() + self.waited.left(&self.patience, self.gate));
        }
    }
}

impl Source for Paced<'_> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        // Where all has come, nothing is left to wait for.
        if self.received < self.len {
            if let Err(error) = ready!(self.poll_pause(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            ready!(self.poll_lane(cx));
        }
        match self.source.poll_next(cx) {
            Poll::Ready(next) => {
                let bytes = next.as_ref().and_then(|next| next.as_ref().ok());
                let len = bytes.map_or(0, |bytes| bytes.len() as u64);
                self.received += len;
                self.waited.end(len, self.gate);
                if let Some(lane) = &mut self.lane {
                    lane.take(len);
                }
                Poll::Ready(next)
            }
            Poll::Pending => {
                self.waited.start(self.gate);
                let out = self.poll_patience(cx);
                out.map(|()| Some(Err(SourceError::TooSlow)))
            }
        }
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.source.poll_left(cx)
    }
}

impl Drop for Paced<'_> {
    fn drop(&mut self) {
        self.counts.received_bytes.add(self.received);
    }
}

impl Waited {
    fn start(&mut self, gate: &Gate) {
        self.since
            .get_or_insert_with(|| (Instant::now(), gate.shut_for()));
    }

    /// So many bytes have come.
    fn end(&mut self, len: u64, gate: &Gate) {
        if self.since.is_some() {
            self.before += self.now(gate);
            self.since = None;
        }
        self.bytes += len;
    }

    /// For how long the next bytes have been waited for, but for pauses.
    fn now(&self, gate: &Gate) -> Duration {
        self.since.map_or(Duration::ZERO, |(since, shut)| {
            let shut = gate.shut_for().saturating_sub(shut);
            since.elapsed().saturating_sub(shut)
        })
    }

    /// How much longer the client is waited for.
    fn left(&mut self, patience: &Patience, gate: &Gate) -> Duration {
        let next = self.now(gate);
        let all = self.before + next;
        let mut rated = (self.looked + RATE_OVER).saturating_sub(all);
        if rated.is_zero() {
            let wanted = patience.rate_min.saturating_mul(RATE_OVER.as_secs());
            if self.bytes >= wanted {
                (self.looked, self.bytes) = (all, 0);
                rated = RATE_OVER;
            }
        }
        let stall = patience.stall.saturating_sub(next);
        stall.min(rated)
    }
}
