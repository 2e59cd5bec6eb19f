//! A server under test and its app.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::ticks::Ticks;
use crate::protocol::ReadLimit;
use crate::serve::{Drained, Incoming, Limits, NoWriteTimeout, PeerAddr, Server};

/// Long enough never to matter in a test.
pub(super) const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for.
pub(super) const SHORT: Duration = Duration::from_millis(400);

/// More than the buffers of a connection hold.
pub(super) const LARGE: usize = 32 << 20;

/// No limit matters.
pub(in crate::serve) const LIMITS: Limits = Limits {
    header_timeout: LONG,
    read_timeout: LONG,
    write_timeout: LONG,
    idle_timeout: LONG,
    shutdown: LONG,
    max_connections: 100,
    max_header_size: 16 << 10,
    linger: Duration::from_secs(5),
};

/// What the app and the test tell each other.
#[derive(Default)]
pub(super) struct Signals {
    /// Requests that reached the app.
    pub(super) requests: AtomicUsize,
    /// One permit ends one wait of the app.
    pub(super) go: Gate,
    /// A handler that never ends was dropped.
    pub(super) dropped: AtomicBool,
    /// Bytes of bodies that were read when they had been answered.
    pub(super) late: AtomicUsize,
}

pub(super) struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    pub(super) fn open(&self) {
        self.0.add_permits(1);
    }

    pub(super) async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

struct SetOnDrop(Arc<Signals>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::SeqCst);
    }
}

type AppBody = UnsyncBoxBody<Bytes, Infallible>;

async fn app(
    request: Request<Incoming>,
    signals: Arc<Signals>,
) -> Result<Response<AppBody>, Infallible> {
    signals.requests.fetch_add(1, Ordering::SeqCst);
    let response = match request.uri().path() {
        "/ticks" => Response::new(Ticks::new(signals).boxed_unsync()),
        "/events" => endless(Response::new(Ticks::new(signals).boxed_unsync())),
        "/flood" => {
            let flood = Full::new(Bytes::from(vec![0; LARGE]));
            endless(Response::new(flood.boxed_unsync()))
        }
        _ => return Ok(plain(request, signals).await),
    };
    Ok(response)
}

fn endless(mut response: Response<AppBody>) -> Response<AppBody> {
    response.extensions_mut().insert(NoWriteTimeout);
    response
}

async fn plain(request: Request<Incoming>, signals: Arc<Signals>) -> Response<AppBody> {
    let mut status = StatusCode::OK;
    let text = match request.uri().path() {
        "/count" => count(request.into_body()).await.to_string(),
        "/patient" => {
            request.extensions().get().map(ReadLimit::lift);
            count(request.into_body()).await.to_string()
        }
        "/whole" => match request.into_body().collect().await {
            Ok(_) => {
                signals.go.pass().await;
                "whole".to_owned()
            }
            Err(error) => {
                status = StatusCode::BAD_REQUEST;
                error.to_string()
            }
        },
        "/early" => {
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    let len = frame.data_ref().map_or(0, Bytes::len);
                    signals.late.fetch_add(len, Ordering::SeqCst);
                }
            });
            "early".to_owned()
        }
        "/refuse" => {
            status = StatusCode::UNAUTHORIZED;
            "not you".repeat(1000)
        }
        "/large" => "x".repeat(LARGE),
        "/wait" => {
            signals.go.pass().await;
            "waited".to_owned()
        }
        "/never" => {
            let _dropped = SetOnDrop(Arc::clone(&signals));
            pending().await
        }
        "/peer" => {
            let PeerAddr(peer) = request.extensions().get().unwrap();
            peer.to_string()
        }
        _ => "hello".to_owned(),
    };
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn count(mut body: Incoming) -> u64 {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { break };
        total += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    assert!(body.is_end_stream() || total > 0);
    total
}

/// A running server.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) signals: Arc<Signals>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
    runtime: Runtime,
}

impl Running {
    pub(super) fn new(limits: Limits) -> Self {
        Self::draining(limits, async {})
    }

    /// With a `drain` future.
    pub(super) fn draining(
        limits: Limits,
        drain: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let signals = Arc::new(Signals::default());
        let (stop, stopped) = oneshot::channel();
        let service = tower::service_fn({
            let signals = Arc::clone(&signals);
            move |request| app(request, Arc::clone(&signals))
        });
        let ended = runtime.spawn(async move {
            let stop = async { stopped.await.unwrap() };
            Server::new(limits)
                .run(listener, service, stop, drain)
                .await
                .unwrap()
        });
        Self {
            address,
            signals,
            stop,
            ended,
            runtime,
        }
    }

    /// Asks it to stop.
    pub(super) fn stop(self) -> Stopping {
        self.stop.send(()).unwrap();
        Stopping {
            ended: self.ended,
            runtime: self.runtime,
        }
    }

    /// Drops the future of `run`.
    pub(super) fn abort(&self) {
        self.ended.abort();
    }
}

/// A server that was asked to stop.
pub(super) struct Stopping {
    ended: JoinHandle<Drained>,
    runtime: Runtime,
}

impl Stopping {
    /// Waits for the end of `run`.
    pub(super) fn end(self) -> Drained {
        self.end_in_runtime().0
    }

    /// The same, and whatever `run` has left behind goes on.
    pub(super) fn end_in_runtime(self) -> (Drained, Runtime) {
        let drained = self.runtime.block_on(self.ended).unwrap();
        (drained, self.runtime)
    }
}
