use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming as Received;
use tokio::time::{Instant, Sleep, sleep_until};

use super::BoxError;
use crate::protocol::ReadLimit;

/// The body of a request.
///
/// It is hyper's, and ends with an [`io::Error`] of kind [`TimedOut`](io::ErrorKind::TimedOut) if
/// the client is waited for when [`read_timeout`](super::Limits::read_timeout) is over. Nothing of
/// it is read after that.
#[derive(Debug)]
pub struct Incoming {
    /// Gone once the time was up.
    body: Option<Received>,
    deadline: Option<Deadline>,
}

#[derive(Debug)]
struct Deadline {
    at: Instant,
    limit: ReadLimit,
    /// There is one as soon as the client is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// The body of a request whose head has just arrived, and what lifts its limit. A request that
    /// is all there has none.
    pub(super) fn new(body: Received, within: Duration) -> (Self, Option<ReadLimit>) {
        let at = match body.is_end_stream() {
            true => None,
            false => Instant::now().checked_add(within),
        };
        let deadline = at.map(|at| Deadline {
            at,
            limit: ReadLimit::default(),
            timer: None,
        });
        let limit = deadline.as_ref().map(|deadline| deadline.limit.clone());
        let body = Some(body);
        (Self { body, deadline }, limit)
    }

    /// Ready when the client may not be waited for any longer.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        if !deadline.limit.is_in_force() {
            self.deadline = None;
            return Poll::Pending;
        }
        let at = deadline.at;
        let timer = deadline
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(at)));
        ready!(timer.as_mut().poll(cx));
        deadline.limit.pass();
        Poll::Ready(())
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(this.poll_overdue(cx));
        this.body = None;
        let text = "the request did not arrive within the read timeout";
        let error = io::Error::new(io::ErrorKind::TimedOut, text);
        Poll::Ready(Some(Err(error.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let empty = || SizeHint::with_exact(0);
        self.body.as_ref().map_or_else(empty, Body::size_hint)
    }
}
