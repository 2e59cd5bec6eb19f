//! A response that goes on for as long as the test likes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::server::Signals;

type Tick = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A frame whenever the test gives a sign.
pub(super) struct Ticks {
    signals: Arc<Signals>,
    next: Tick,
}

impl Ticks {
    pub(super) fn new(signals: Arc<Signals>) -> Self {
        Self {
            next: Self::next(Arc::clone(&signals)),
            signals,
        }
    }

    fn next(signals: Arc<Signals>) -> Tick {
        Box::pin(async move { signals.go.pass().await })
    }
}

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.next.as_mut().poll(cx));
        self.next = Self::next(Arc::clone(&self.signals));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"tick")))))
    }
}
