use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tower_service::Service;

use super::{Incoming, Limits, Server, stop_signal};
use crate::body::BoxError;
use crate::config::UploadConfig;
use crate::driver::Driver;
use crate::error::Error;
use crate::tls::Identity;

/// Longest time a client that still sends may take to read its answer.
const LINGER: Duration = Duration::from_secs(5);

/// Serves a wrapped app until the process is asked to end (`SIGTERM`, `SIGINT`), with the limits of
/// `[server]` and `[timeouts]`, over TLS where `server.tls_cert` says so, and runs its [`Driver`] meanwhile. Running requests and hand-offs
/// get `timeouts.shutdown` to finish.
///
/// # Errors
/// Those of the listening socket that do not pass by themselves.
pub async fn serve<S, B>(
    listener: TcpListener,
    app: S,
    config: &UploadConfig,
    mut driver: Driver,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    check_file_limit(config.server.max_connections);
    let now = driver.config();
    let server = Server::following(move || limits(&now())).secured(driver.identity());
    let drain = driver.drain();
    let now = driver.config();
    let background = tokio::spawn(driver.run());
    let stop = async {
        stop_signal().await;
        let within = now().timeouts.shutdown;
        tracing::info!(
            ?within,
            "asked to end: running requests and hand-offs may finish"
        );
    };
    let drained = server.run(listener, app, stop, drain).await;
    background.abort();
    let drained = drained?;
    if drained.is_complete() {
        tracing::info!("ended, with everything finished");
    } else {
        tracing::warn!(?drained, "ended in the middle of requests or hand-offs");
    }
    Ok(())
}

/// Whether the files that `config` names for [`serve`] can be used, before anything is started: what is
/// to be said about them all the same.
///
/// # Errors
/// Which file cannot be used, and why.
pub fn check(config: &UploadConfig) -> Result<Vec<String>, Error> {
    let identity = Identity::open(&config.server.tls_files())?;
    Ok(identity.map_or_else(Vec::new, |identity| identity.doubts().to_vec()))
}

fn limits(config: &UploadConfig) -> Limits {
    let (server, timeouts) = (&config.server, &config.timeouts);
    Limits {
        header_timeout: timeouts.header_timeout,
        read_timeout: timeouts.readtimeout,
        write_timeout: timeouts.writetimeout,
        idle_timeout: timeouts.idletimeout,
        shutdown: timeouts.shutdown,
        max_connections: server.max_connections,
        max_header_size: server.max_header_size,
        linger: LINGER,
    }
}

/// Each connection is an open file.
fn check_file_limit(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < max_connections as u64 {
        tracing::warn!(
            limit,
            "this process may open fewer files than server.max_connections ({max_connections}): \
             connections beyond wait; raise the limit (ulimit -n), or lower the setting"
        );
    }
}
