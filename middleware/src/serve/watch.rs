//! A connection of hyper under our timeouts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Limits;
use super::phase::{Phase, Phases};

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// hyper is done with it.
    Closed,
    /// hyper is done with it, between two requests.
    ClosedIdle,
    /// The phase lasted too long.
    TimedOut(Phase),
    /// The server has no more time.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Stop,
    Cut,
}

/// The two orders a server gives its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// Finish what runs, begin nothing.
    pub(super) stop: CancellationToken,
    /// End now. Given after `stop` only.
    pub(super) cut: CancellationToken,
}

impl Orders {
    /// Orders for one connection. Waiting on a token takes its lock: each connection has its own.
    pub(super) fn child(&self) -> Self {
        Self {
            stop: self.stop.child_token(),
            cut: self.cut.child_token(),
        }
    }
}

pin_project! {
    /// Drives `conn` until it ends by itself, by a timeout or by order.
    pub(super) struct Watch<C> {
        #[pin]
        conn: C,
        // Tells it to finish what runs and begin nothing.
        finish: fn(Pin<&mut C>),
        // One timer for the whole connection. It is moved when it fires too early or must fire
        // sooner, not whenever the deadline moves.
        #[pin]
        timer: Sleep,
        #[pin]
        stop: WaitForCancellationFutureOwned,
        #[pin]
        cut: WaitForCancellationFutureOwned,
        stopping: bool,
        // When an HTTP/2 client was told that we leave.
        leaving: Option<Instant>,
        phases: Arc<Phases>,
        limits: Limits,
    }
}

impl<C> Watch<C> {
    /// Watches `conn`; `finish` is its graceful shutdown.
    pub(super) fn new(
        conn: C,
        finish: fn(Pin<&mut C>),
        phases: Arc<Phases>,
        limits: Limits,
        orders: &Orders,
    ) -> Self {
        Self {
            conn,
            finish,
            timer: sleep(limits.header_timeout),
            stop: orders.stop.clone().cancelled_owned(),
            cut: orders.cut.clone().cancelled_owned(),
            stopping: false,
            leaving: None,
            phases,
            limits,
        }
    }

    fn closed(&self, result: hyper::Result<()>) -> End {
        match result {
            Ok(()) if self.phases.now() == Phase::Idle => End::ClosedIdle,
            Ok(()) => End::Closed,
            Err(error) => {
                tracing::debug!(%error, "connection ended");
                End::Closed
            }
        }
    }

    /// The phase and when it has lasted too long; none while a request is served, or if that lies
    /// beyond what the clock can say.
    fn deadline(&self, waker: &Waker) -> Option<(Phase, Instant)> {
        let (phase, since) = self.phases.waiting_since(waker)?;
        let deadline = match (phase, self.leaving) {
            (Phase::New | Phase::Quiet, Some(told)) => {
                since.max(told).checked_add(self.limits.linger)
            }
            (Phase::Head | Phase::New, _) => since.checked_add(self.limits.header_timeout),
            (Phase::Idle | Phase::Quiet, _) => since.checked_add(self.limits.idle_timeout),
            (Phase::Answering, _) => since.checked_add(self.limits.write_timeout),
            (Phase::Busy, _) => None,
        };
        Some((phase, deadline?))
    }

    /// Ready when the phase has lasted too long.
    fn poll_expired(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            let Some((phase, deadline)) = self.deadline(cx.waker()) else {
                return Poll::Pending;
            };
            let mut timer = self.as_mut().project().timer;
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if timer.deadline() == deadline {
                return Poll::Ready(phase);
            }
            timer.reset(deadline);
        }
    }

    /// Lets what runs finish and begins nothing. On HTTP/2 the client is told, so that a request on
    /// its way is not lost.
    fn leave(self: Pin<&mut Self>) {
        let this = self.project();
        *this.leaving = Some(Instant::now());
        (this.finish)(this.conn);
    }

    /// Ready when there is a new order. Poll it until it is not: it waits for one at a time.
    fn poll_ordered(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Order> {
        let this = self.as_mut().project();
        if *this.stopping {
            return this.cut.poll(cx).map(|()| Order::Cut);
        }
        ready!(this.stop.poll(cx));
        *this.stopping = true;
        self.leave();
        Poll::Ready(Order::Stop)
    }
}

impl<C: Future<Output = hyper::Result<()>>> Future for Watch<C> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // While a request is served an order comes first: its answer shall say that it is the
            // last one. Otherwise what has arrived comes first: it may be a request.
            let is_busy = self.phases.now() == Phase::Busy;
            while is_busy && let Poll::Ready(order) = self.as_mut().poll_ordered(cx) {
                if order == Order::Cut {
                    return Poll::Ready(End::Cut);
                }
            }
            if let Poll::Ready(result) = self.as_mut().project().conn.poll(cx) {
                return Poll::Ready(self.closed(result));
            }
            if !is_busy {
                match self.as_mut().poll_ordered(cx) {
                    Poll::Ready(Order::Stop) => continue,
                    Poll::Ready(Order::Cut) => return Poll::Ready(End::Cut),
                    Poll::Pending => {}
                }
            }
            match self.as_mut().poll_expired(cx) {
                Poll::Ready(Phase::Quiet) if self.leaving.is_none() => self.as_mut().leave(),
                Poll::Ready(phase) => return Poll::Ready(End::TimedOut(phase)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
