use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tower_service::Service;

use super::{Limits, Server};
use crate::metrics::Metrics;

/// Monitoring asks from one or two places, with short requests.
const LIMITS: Limits = Limits {
    header_timeout: Duration::from_secs(5),
    read_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(120),
    shutdown: Duration::ZERO,
    max_connections: 16,
    max_header_size: 8 << 10,
    linger: Duration::from_secs(1),
};

/// The port on which metrics are answered, which is taken already.
#[derive(Debug)]
pub(crate) struct MetricsPort(std::net::TcpListener);

impl MetricsPort {
    /// Takes it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) async fn open(address: &str) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(address).await?.into_std()?))
    }

    /// Where it is.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers there until it is dropped.
    ///
    /// # Errors
    /// The port cannot be used.
    pub(crate) async fn serve(&self, metrics: Metrics) -> io::Result<()> {
        let listener = TcpListener::from_std(self.0.try_clone()?)?;
        let server = Server::new(LIMITS);
        let drained = server.run(listener, Scrape(metrics), pending(), async {});
        drained.await.map(|_| ())
    }
}

#[derive(Clone)]
struct Scrape(Metrics);

impl Scrape {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let empty = |status| {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        };
        if path != "/metrics" {
            return empty(StatusCode::NOT_FOUND);
        }
        if ![Method::GET, Method::HEAD].contains(method) {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allow);
            return response;
        }
        let mut response = Response::new(Full::from(self.0.render()));
        let kind = HeaderValue::from_static(Metrics::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

impl<B> Service<Request<B>> for Scrape {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}
