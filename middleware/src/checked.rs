use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::body::BoxError;
use crate::upload::{Digest, Hasher};

/// So many bytes are held back until all have come and are what they are to be. A body that is no
/// longer is checked as a whole before anything of it is seen.
const HELD_MAX: usize = 1 << 20;

pin_project! {
    /// A body that ends with an error, and lacks its last part, if it is not what its digests say.
    pub(crate) struct CheckedBody<B> {
        #[pin]
        body: B,
        hashers: Vec<(Hasher, Digest)>,
        held: VecDeque<Bytes>,
        bytes_held: usize,
        state: State,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// It is what it is to be.
    Proven,
    Over,
}

#[derive(Debug, thiserror::Error)]
#[error("the body is not what Content-Digest says, or did not come whole")]
struct Mismatch;

impl<B> CheckedBody<B> {
    pub(crate) fn new(body: B, digests: Vec<Digest>) -> Self {
        let hasher = |digest: Digest| (Hasher::new(digest.algorithm()), digest);
        Self {
            body,
            hashers: digests.into_iter().map(hasher).collect(),
            held: VecDeque::new(),
            bytes_held: 0,
            state: State::Reading,
        }
    }
}

/// Bytes that are held behind the first piece.
fn behind_first(held: &VecDeque<Bytes>, bytes_held: usize) -> usize {
    bytes_held - held.front().map_or(0, Bytes::len)
}

impl<B> Body for CheckedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        while *this.state == State::Reading && behind_first(this.held, *this.bytes_held) < HELD_MAX
        {
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // What comes behind the body was not signed.
                    let Ok(bytes) = frame.into_data() else {
                        continue;
                    };
                    for (hasher, _) in this.hashers.iter_mut() {
                        hasher.update(&bytes);
                    }
                    *this.bytes_held += bytes.len();
                    this.held.push_back(bytes);
                }
                Some(Err(error)) => {
                    *this.state = State::Over;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    let mut hashers = std::mem::take(this.hashers).into_iter();
                    *this.state = State::Proven;
                    if hashers.any(|(hasher, digest)| hasher.finish() != digest) {
                        *this.state = State::Over;
                        return Poll::Ready(Some(Err(Mismatch.into())));
                    }
                }
            }
        }
        if *this.state == State::Over {
            return Poll::Ready(None);
        }
        let next = this.held.pop_front();
        *this.bytes_held -= next.as_ref().map_or(0, Bytes::len);
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self.state {
            State::Reading => false,
            State::Proven => self.held.is_empty(),
            State::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let (coming, held) = (self.body.size_hint(), self.bytes_held as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint.set_lower(coming.lower().saturating_add(held));
        hint
    }
}
