//! One connection from accept to close.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::http1::{self, UpgradeableConnection as Http1};
use hyper::server::conn::http2::{self, Connection as Http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use super::app::{App, Client};
use super::incoming::Incoming;
use super::io::{Io, Remains, Socket};
use super::outgoing::Watcher;
use super::phase::{HeadTimer, Phase, Phases, Streams};
use super::sniff::Opening;
use super::watch::{End, Orders, Watch};
use super::{BoxError, Limits, linger};
use crate::protocol::Presence;

/// Bytes of one HTTP/2 request that may be under way: 40 MiB/s at 100 ms.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for all requests of a connection. It is also what a connection may make us hold.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Fewer, larger frames: the default of 16 KiB costs four times the work.
const FRAME_SIZE: u32 = 64 << 10;
/// Most bytes read from a connection at once.
const READ_LEN_MAX: usize = 128 << 10;
/// Finds HTTP/2 clients that are gone, also while a request runs and no timeout applies.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Longest time that is left to a client to read that its head came too late: it sends next to
/// nothing that could be in the way, and has had its time.
pub(super) const LATE_LINGER: Duration = Duration::from_millis(500);

const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a connection is given by its server.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(super) limits: Limits,
    pub(super) orders: Orders,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) peer: SocketAddr,
    pub(super) accepted: Instant,
}

impl Terms {
    /// Ends when the first head should have come.
    pub(super) async fn head_is_late(&self) {
        let left = self.limits.header_timeout;
        sleep(left.saturating_sub(self.accepted.elapsed())).await;
    }
}

/// Serves `app` on `stream`. `serving` is dropped when HTTP is over; the connection may linger
/// after that.
pub(super) async fn serve<T, S, B, G>(mut stream: T, app: S, terms: Terms, serving: G)
where
    T: Socket + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Some(opening) = open(&mut stream, &terms).await else {
        return linger::leave(&mut stream).await;
    };
    let Terms {
        limits,
        orders,
        permit,
        peer,
        accepted,
    } = terms;
    let is_http2 = stream.is_http2().unwrap_or_else(|| opening.is_http2());
    let phases = if is_http2 {
        Phases::http2(accepted)
    } else {
        Phases::http1(accepted)
    };
    // An HTTP/2 connection is read whatever its requests do.
    let presence = (!is_http2).then(Presence::default);
    let client = Client {
        peer,
        presence: presence.clone(),
        tls: stream.tls(),
    };
    let (io, mut remains) = Io::new(stream, opening, Arc::clone(&phases), permit, presence);
    let io = TokioIo::new(io);
    let watcher = if is_http2 {
        Watcher::Stream
    } else {
        Watcher::Connection(Arc::clone(&phases))
    };
    let app = App::new(app, client, limits.read_timeout, watcher);
    let end = if is_http2 {
        let conn = http2_builder(&limits, &phases).serve_connection(io, app);
        Watch::new(conn, Http2::graceful_shutdown, phases, limits, &orders).await
    } else {
        let conn = http1_builder(&limits, &phases)
            .serve_connection(io, app)
            .with_upgrades();
        Watch::new(conn, Http1::graceful_shutdown, phases, limits, &orders).await
    };
    drop(serving);
    if let End::TimedOut(phase) = end {
        tracing::debug!(%peer, ?phase, "a connection is closed: its client took too long");
    }
    // Nothing remains of an upgraded connection: it belongs to the app.
    if let Ok(remains) = remains.try_recv() {
        close(remains, end, &limits, &orders).await;
    }
}

/// The first bytes, unless they take too long, there are none, or the server stops.
async fn open<T>(stream: &mut T, terms: &Terms) -> Option<Opening>
where
    T: AsyncRead + Unpin,
{
    tokio::select! {
        biased;
        opening = Opening::receive(stream) => opening.ok().filter(|opening| !opening.is_empty()),
        () = terms.head_is_late() => None,
        () = terms.orders.stop.cancelled() => None,
    }
}

fn http1_builder(limits: &Limits, phases: &Arc<Phases>) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let max_header_size = usize::try_from(limits.max_header_size).unwrap_or(usize::MAX);
    builder
        .timer(HeadTimer(Arc::clone(phases)))
        // Any value would do: it makes hyper use the timer, which never fires.
        .header_read_timeout(Duration::ZERO)
        // Apart from the size of reads, which bounds what a connection holds while its body waits.
        .max_buf_size(READ_LEN_MAX.max(max_header_size))
        .max_header_size(max_header_size);
    builder
}

fn http2_builder(limits: &Limits, phases: &Arc<Phases>) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams {
        phases: Arc::clone(phases),
        write_timeout: limits.write_timeout,
    });
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .keep_alive_interval(PING_INTERVAL);
    builder
}

/// Closes the socket so that the client can read what it was sent.
async fn close<T>(mut remains: Remains<T>, end: End, limits: &Limits, orders: &Orders)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (answer, linger): (&[u8], _) = match end {
        _ if remains.ended => return,
        End::TimedOut(Phase::Head) => (REQUEST_TIMEOUT, limits.linger.min(LATE_LINGER)),
        End::Closed if remains.shut => (&[], limits.linger),
        // Nothing is under way: there is no answer to protect.
        End::ClosedIdle | End::TimedOut(Phase::Idle | Phase::New | Phase::Quiet) => {
            return linger::leave(&mut remains.stream).await;
        }
        // Where hyper gave up, or was cut off, it must not look as if that were all.
        End::Closed | End::TimedOut(_) | End::Cut => return,
    };
    tokio::select! {
        _ = timeout(linger, linger::part(&mut remains.stream, answer)) => {}
        () = orders.cut.cancelled() => {}
    }
}
