use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::body::{BoxError, RequestBody, ResponseBody};
use crate::future::{Ours, ResponseFuture};
use crate::layer::Shared;
use crate::protocol::chunked;

/// An app whose upload handler is resumable; made by [`SteadfastLayer`](crate::SteadfastLayer).
///
/// A request that is not ours is passed through as it is, without a box of ours.
#[derive(Clone)]
pub struct Steadfast<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Steadfast<S> {
    pub(crate) fn new(shared: Arc<Shared>, inner: S) -> Self {
        Self { shared, inner }
    }

    /// What of a request is ours, if anything.
    fn recognise<B>(&self, request: &Request<B>) -> Option<Ours> {
        let path = request.uri().path();
        if let Some(route) = chunked::route(&self.shared.config, path) {
            return Some(Ours::Chunked(route));
        }
        if self.shared.gate.protects(path) {
            return crate::future::authorise(&self.shared, request.headers(), path)
                .err()
                .map(|problem| Ours::Refused(Box::new(problem)));
        }
        None
    }
}

impl<S, B, R> Service<Request<B>> for Steadfast<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S::Future> {
        match self.recognise(&request) {
            None => ResponseFuture::pass(&mut self.inner, request),
            // The clone takes its readiness when there is something to hand over.
            Some(ours) => {
                ResponseFuture::ours(Arc::clone(&self.shared), ours, request, self.inner.clone())
            }
        }
    }
}

impl<S> std::fmt::Debug for Steadfast<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steadfast").finish_non_exhaustive()
    }
}
