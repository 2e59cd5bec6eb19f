use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::checked::CheckedBody;
use crate::feed::FeedBody;
use crate::handoff::HandoffBody;

/// A boxed error, as request bodies answer it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The body of a request to the wrapped app: the client's own, or that of a hand-off.
    pub struct RequestBody<B> {
        #[pin]
        kind: RequestKind<B>,
    }
}

pin_project! {
    #[project = RequestProj]
    enum RequestKind<B> {
        Client { #[pin] body: B },
        Checked { #[pin] body: CheckedBody<B> },
        Handoff { #[pin] body: HandoffBody },
    }
}

impl<B> RequestBody<B> {
    pub(crate) fn client(body: B) -> Self {
        Self {
            kind: RequestKind::Client { body },
        }
    }

    /// The client's own, which has to be what it was signed for.
    pub(crate) fn checked(body: CheckedBody<B>) -> Self {
        Self {
            kind: RequestKind::Checked { body },
        }
    }

    pub(crate) fn handoff(body: HandoffBody) -> Self {
        Self {
            kind: RequestKind::Handoff { body },
        }
    }
}

impl<B> std::fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.kind {
            RequestKind::Client { .. } => "client",
            RequestKind::Checked { .. } => "checked",
            RequestKind::Handoff { .. } => "hand-off",
        };
        f.debug_tuple("RequestBody").field(&kind).finish()
    }
}

impl<B> Body for RequestBody<B>
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
        match self.project().kind.project() {
            RequestProj::Client { body } => body.poll_frame(cx).map_err(Into::into),
            RequestProj::Checked { body } => body.poll_frame(cx),
            RequestProj::Handoff { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            RequestKind::Client { body } => body.is_end_stream(),
            RequestKind::Checked { body } => body.is_end_stream(),
            RequestKind::Handoff { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            RequestKind::Client { body } => body.size_hint(),
            RequestKind::Checked { body } => body.size_hint(),
            RequestKind::Handoff { body } => body.size_hint(),
        }
    }
}

pin_project! {
    /// The body of a response: the wrapped app's own, or an answer of ours.
    pub struct ResponseBody<B> {
        #[pin]
        kind: ResponseKind<B>,
    }
}

pin_project! {
    #[project = ResponseProj]
    enum ResponseKind<B> {
        App { #[pin] body: B },
        Ours { bytes: Bytes },
        Events { feed: FeedBody },
    }
}

/// The body of an answer of ours.
pub(crate) enum Content {
    /// Whole in memory.
    Bytes(Bytes),
    /// As it comes.
    Events(FeedBody),
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn app(body: B) -> Self {
        Self {
            kind: ResponseKind::App { body },
        }
    }

    pub(crate) fn ours(content: Content) -> Self {
        let kind = match content {
            Content::Bytes(bytes) => ResponseKind::Ours { bytes },
            Content::Events(feed) => ResponseKind::Events { feed },
        };
        Self { kind }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::ours(Bytes::new().into())
    }
}

impl<B> std::fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.kind {
            ResponseKind::App { .. } => "app",
            ResponseKind::Ours { .. } => "ours",
            ResponseKind::Events { .. } => "events",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            ResponseProj::App { body } => body.poll_frame(cx),
            ResponseProj::Ours { bytes } if bytes.is_empty() => Poll::Ready(None),
            ResponseProj::Ours { bytes } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            ResponseProj::Events { feed } => feed
                .poll_next(cx)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::App { body } => body.is_end_stream(),
            ResponseKind::Ours { bytes } => bytes.is_empty(),
            ResponseKind::Events { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ResponseKind::App { body } => body.size_hint(),
            ResponseKind::Ours { bytes } => SizeHint::with_exact(bytes.len() as u64),
            ResponseKind::Events { .. } => SizeHint::default(),
        }
    }
}

/// A response of an app, as [`Driver::deliver_through`](crate::Driver::deliver_through) asks for
/// it: `http::Response` of any body.
pub trait AppResponse: sealed::Sealed {
    /// Its body.
    type Body;

    /// The response.
    fn into_http(self) -> http::Response<Self::Body>;
}

impl<B> AppResponse for http::Response<B> {
    type Body = B;

    fn into_http(self) -> Self {
        self
    }
}

mod sealed {
    pub trait Sealed {}

    impl<B> Sealed for http::Response<B> {}
}
