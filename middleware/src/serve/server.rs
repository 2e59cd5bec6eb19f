use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::BoxError;
use super::accept::accept;
use super::connection::{Terms, serve};
use super::incoming::Incoming;
use super::watch::Orders;
use crate::config::Live;
use crate::tls::Identity;

/// Connections that the kernel holds until they are accepted; it may hold fewer. Tokio asks for 128,
/// and when a network is back all of its clients come at once: one too many waits for a second.
const BACKLOG: i32 = 4096;
/// How long cut connections are given to drop what they hold.
const CUT_GRACE: Duration = Duration::from_millis(250);

/// Limits of the accept loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a request's head to its last; on a new connection from the accept.
    pub header_timeout: Duration,
    /// From a request's head to the end of its body, if the app reads it: the client is waited for
    /// no longer.
    pub read_timeout: Duration,
    /// From a response's head to its last byte; if the response has [`NoWriteTimeout`], how long its
    /// client may take nothing of what there is.
    ///
    /// [`NoWriteTimeout`]: super::NoWriteTimeout
    pub write_timeout: Duration,
    /// Between two requests on a connection.
    pub idle_timeout: Duration,
    /// From the order to stop to the end of the server.
    pub shutdown: Duration,
    /// Open connections; at least one.
    pub max_connections: usize,
    /// Bytes of a request's head. On HTTP/2 as RFC 9113, section 6.5.2 counts them.
    pub max_header_size: u64,
    /// How long a client that still sends is listened to after its last answer.
    pub linger: Duration,
}

/// What the end of a server was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Connections that were cut because a request still ran when the time was up.
    pub cut: usize,
    /// Whether the `drain` future of [`Server::run`] came to its end.
    pub drain_finished: bool,
}

impl Drained {
    /// Whether everything that ran could finish.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cut == 0 && self.drain_finished
    }
}

/// The accept loop.
#[derive(Clone)]
pub struct Server {
    limits: LimitsNow,
    identity: Arc<Live<Option<Identity>>>,
}

type LimitsNow = Arc<dyn Fn() -> Limits + Send + Sync>;

impl Server {
    /// A server with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::following(move || limits)
    }

    /// A server whose limits may change: each connection asks for its own when it is accepted, the
    /// end for `shutdown`. `max_connections` is asked for once.
    #[must_use]
    pub fn following(limits: impl Fn() -> Limits + Send + Sync + 'static) -> Self {
        Self {
            limits: Arc::new(limits),
            identity: Arc::new(Live::new(Arc::new(None))),
        }
    }

    /// The same with TLS, while there is an identity.
    pub(super) fn secured(self, identity: Arc<Live<Option<Identity>>>) -> Self {
        Self { identity, ..self }
    }

    /// Serves `app` until `stop` resolves. Then running requests may finish and `drain` is awaited
    /// (for work that outlives its request), both together for `limits.shutdown` at most; what is
    /// left is cut. The same happens at once if this future is dropped.
    ///
    /// Each request gets its own clone of `app`, called when it is ready, and has a
    /// [`PeerAddr`](super::PeerAddr) among its extensions.
    ///
    /// # Errors
    ///
    /// If `listener` is not usable at all. Errors of single connections end just these.
    pub async fn run<S, B>(
        self,
        listener: TcpListener,
        app: S,
        stop: impl Future<Output = ()>,
        drain: impl Future<Output = ()>,
    ) -> io::Result<Drained>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let address = listener.local_addr()?;
        if let Err(error) = rustix::net::listen(&listener, BACKLOG) {
            tracing::debug!(%error, "the queue of connections stays as it is");
        }
        let connections = Connections::new(self);
        tracing::info!(%address, "serving");
        tokio::select! {
            biased;
            () = stop => {}
            () = connections.accept_all(&listener, app) => {}
        }
        drop(listener);
        tracing::info!(%address, "stopping");
        Ok(connections.drain(drain).await)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&(self.limits)()).finish()
    }
}

/// Every connection of a server. Dropping it ends them.
struct Connections {
    limits: LimitsNow,
    identity: Arc<Live<Option<Identity>>>,
    orders: Orders,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    serving: Arc<AtomicUsize>,
}

impl Connections {
    fn new(Server { limits, identity }: Server) -> Self {
        let places = limits().max_connections;
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            limits,
            identity,
            orders: Orders::default(),
            places: Arc::new(Semaphore::new(places)),
            tasks: TaskTracker::new(),
            serving: Arc::default(),
        }
    }

    /// Never ends: the semaphore is never closed.
    async fn accept_all<S, B>(&self, listener: &TcpListener, app: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        while let Ok(permit) = Arc::clone(&self.places).acquire_owned().await {
            let (stream, peer) = accept(|| listener.accept()).await;
            // Without it small answers wait for the client's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            let terms = self.terms(permit, peer);
            let serving = Serving::new(&self.serving);
            let (app, identity) = (app.clone(), self.identity.now());
            if identity.is_none() {
                self.tasks.spawn(serve(stream, app, terms, serving));
                continue;
            }
            self.tasks.spawn(async move {
                let identity = identity.as_ref().as_ref()?;
                let stream = identity.greet(stream, &terms).await?;
                serve(stream, app, terms, serving).await;
                Some(())
            });
        }
    }

    fn terms(&self, permit: OwnedSemaphorePermit, peer: std::net::SocketAddr) -> Terms {
        Terms {
            limits: (self.limits)(),
            orders: self.orders.child(),
            permit,
            peer,
            accepted: Instant::now(),
        }
    }

    async fn drain(self, drain: impl Future<Output = ()>) -> Drained {
        self.orders.stop.cancel();
        self.tasks.close();
        let mut drain_finished = false;
        let all = async {
            let drain = async {
                drain.await;
                drain_finished = true;
            };
            tokio::join!(drain, self.tasks.wait());
        };
        let in_time = timeout((self.limits)().shutdown, all).await.is_ok();
        let cut = self.serving.load(Ordering::Acquire);
        if !in_time {
            tracing::warn!(
                cut,
                drain_finished,
                "stopped before everything had finished"
            );
            self.orders.cut.cancel();
            // So that what requests hold is released before the caller goes on.
            let _ = timeout(CUT_GRACE, self.tasks.wait()).await;
        }
        Drained {
            cut,
            drain_finished,
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.orders.stop.cancel();
        self.orders.cut.cancel();
    }
}

/// Counts a connection while it serves.
struct Serving(Arc<AtomicUsize>);

impl Serving {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
