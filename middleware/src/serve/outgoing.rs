//! Responses under the write timeout.
//!
//! On HTTP/1.1 a connection has one response at a time: [`Phases`] know when it began and when it
//! is out, and the connection's task cuts what takes too long. On HTTP/2 each response has a task:
//! the executor ends it, which resets the stream. A response that may last for ever has that time
//! anew whenever its client takes something, and none while there is nothing to take.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::phase::Phases;

/// Most bytes HTTP/2 is given at once. What it holds is sent whatever becomes of the stream, and it
/// takes a frame of any size as soon as the client lets it send a byte.
const PIECE_LEN: usize = 64 << 10;

tokio::task_local! {
    /// When the response of the running HTTP/2 stream began; for an endless one, since when its
    /// client has not taken what there is.
    static BEGUN: Cell<Option<Instant>>;
}

/// Runs an HTTP/2 stream; `false` if it was ended because its response took longer than `within`.
pub(super) async fn in_time(stream: impl Future<Output = ()>, within: Duration) -> bool {
    let watched = async {
        tokio::select! {
            biased;
            () = stream => true,
            () = overdue(within) => false,
        }
    };
    BEGUN.scope(Cell::new(None), watched).await
}

/// The time of the running stream's response begins, or stops.
fn begun(at: Option<Instant>) {
    // Elsewhere nobody would look at it.
    let _ = BEGUN.try_with(|begun| begun.set(at));
}

/// Ends when the response has taken longer than `within`. It looks for the begin of the response
/// whenever the stream has done something.
async fn overdue(within: Duration) {
    let mut timer = pin!(None::<Sleep>);
    poll_fn(|cx| {
        let begun = BEGUN.with(Cell::get);
        let deadline = begun.and_then(|begun| begun.checked_add(within));
        if timer.as_ref().as_pin_ref().map(|timer| timer.deadline()) != deadline {
            timer.set(deadline.map(sleep_until));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(cx),
            None => Poll::Pending,
        }
    })
    .await;
}

/// Who watches over the responses of a connection.
#[derive(Clone, Debug)]
pub(super) enum Watcher {
    /// HTTP/1.1: the connection's task.
    Connection(Arc<Phases>),
    /// HTTP/2: the stream's task.
    Stream,
}

impl Watcher {
    /// A response with `body`, if any, begins, which may be `endless`.
    pub(super) fn begin<B>(&self, body: Option<B>, endless: bool) -> Outgoing<B> {
        let mut over = None;
        match self {
            Self::Stream => begun(Some(Instant::now())),
            Self::Connection(phases) => {
                phases.answers(endless);
                over = Some(Over(Arc::clone(phases)));
            }
        }
        let max = match self {
            Self::Stream => PIECE_LEN,
            Self::Connection(_) => usize::MAX,
        };
        Outgoing {
            body,
            rest: Bytes::new(),
            max,
            pauses: endless && matches!(self, Self::Stream),
            _over: over,
        }
    }
}

/// Tells that a body is over: hyper drops it as soon as it has all of it.
#[derive(Debug)]
struct Over(Arc<Phases>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.answered();
    }
}

pin_project! {
    /// The body of a response.
    #[derive(Debug)]
    pub(super) struct Outgoing<B> {
        #[pin]
        body: Option<B>,
        // Of a frame that was too large to be given at once.
        rest: Bytes,
        max: usize,
        // Whether its time stops while hyper asks for more, which it does when the client has room.
        pauses: bool,
        _over: Option<Over>,
    }
}

impl<B: Body<Data = Bytes>> Outgoing<B> {
    fn poll_piece(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if this.rest.is_empty() {
            let Some(body) = this.body.as_pin_mut() else {
                return Poll::Ready(None);
            };
            let frame = match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) if data.len() > *this.max => *this.rest = data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let len = this.rest.len().min(*this.max);
        let piece = this.rest.split_to(len);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes>> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let pauses = self.pauses;
        let piece = self.poll_piece(cx);
        if pauses {
            begun(piece.is_ready().then(Instant::now));
        }
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        let mut hint = self.body.as_ref().map_or_else(none, Body::size_hint);
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
