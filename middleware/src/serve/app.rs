use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming as Received;
use hyper::service::Service;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use pin_project_lite::pin_project;

use super::host;
use super::incoming::Incoming;
use super::outgoing::{Outgoing, Watcher};
use super::secure::Tls;
use crate::address::PeerAddr;
use crate::protocol::{Presence, ReadLimit};

/// The response takes as long as it takes: put this among the extensions of one that streams for
/// ever on purpose, such as server-sent events, and [`write_timeout`](super::Limits::write_timeout)
/// only applies to a client that takes nothing of what there is.
#[derive(Clone, Copy, Debug)]
pub struct NoWriteTimeout;

/// What requests are told of the client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) presence: Option<Presence>,
    pub(super) tls: Option<Tls>,
}

/// The app as hyper calls it for one connection.
#[derive(Debug)]
pub(super) struct App<S> {
    inner: TowerToHyperService<S>,
    client: Client,
    read_timeout: Duration,
    watcher: Watcher,
}

impl<S> App<S> {
    pub(super) fn new(inner: S, client: Client, read_timeout: Duration, watcher: Watcher) -> Self {
        Self {
            inner: TowerToHyperService::new(inner),
            client,
            read_timeout,
            watcher,
        }
    }
}

impl<S, B> Service<Request<Received>> for App<S>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone,
{
    type Response = Response<Outgoing<B>>;
    type Error = S::Error;
    type Future = Answer<TowerToHyperServiceFuture<S, Request<Incoming>>>;

    fn call(&self, request: Request<Received>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if !host::is_named(parts.version, &parts.headers) {
            return Answer {
                future: None,
                limit: None,
                watcher: self.watcher.clone(),
            };
        }
        let (body, limit) = Incoming::new(body, self.read_timeout);
        let extensions = &mut parts.extensions;
        extensions.insert(PeerAddr::canonical(self.client.peer));
        if let Some(presence) = &self.client.presence {
            extensions.insert(presence.clone());
        }
        if let Some(tls) = &self.client.tls {
            extensions.insert(tls.clone());
        }
        if let Some(limit) = &limit {
            extensions.insert(limit.clone());
        }
        Answer {
            future: Some(self.inner.call(Request::from_parts(parts, body))),
            limit,
            watcher: self.watcher.clone(),
        }
    }
}

pin_project! {
    /// What the app answers; `400` without asking it where no host was named.
    pub(super) struct Answer<F> {
        #[pin]
        future: Option<F>,
        limit: Option<ReadLimit>,
        watcher: Watcher,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Outgoing<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else {
            return Poll::Ready(Ok(no_host(this.watcher)));
        };
        let mut response = ready!(future.poll(cx))?;
        if this.limit.as_ref().is_some_and(ReadLimit::has_passed) {
            blame_time(&mut response, this.watcher);
        }
        let endless = response.extensions().get::<NoWriteTimeout>().is_some();
        Poll::Ready(Ok(
            response.map(|body| this.watcher.begin(Some(body), endless))
        ))
    }
}

fn no_host<B>(watcher: &Watcher) -> Response<Outgoing<B>> {
    let mut response = Response::new(watcher.begin(None, false));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    close(&mut response, watcher);
    response
}

/// The request's time was up. Apps take that for a request that was wrong, which its client should
/// not repeat.
fn blame_time<B>(response: &mut Response<B>, watcher: &Watcher) {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    }
    close(response, watcher);
}

/// Nothing more is read from a connection of HTTP/1.1.
fn close<B>(response: &mut Response<B>, watcher: &Watcher) {
    if let Watcher::Connection(_) = watcher {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}
