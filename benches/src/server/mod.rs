//! The contestants: one accept loop, one runtime, four applications.

mod bare;
mod control;
mod resumable;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use crate::contestant::Contestant;

/// Where in a run's directory finished files are.
pub(crate) const FILES: &str = "files";

/// Worker threads of every contestant. The layer writes to the disk from the workers themselves,
/// on all but one of them at once; one more than there are cores keeps that from costing a core.
/// The example server has as many.
pub(crate) fn worker_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from) + 1
}

/// Serves until standard input ends.
pub(crate) fn serve(contestant: Contestant, dir: &Path) -> io::Result<()> {
    control::end_with_parent()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let app = app(contestant, dir).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        control::tell(listener.local_addr()?.port())?;
        let listener = listener.tap_io(|stream| {
            // An option that cannot be set is no reason to refuse a connection.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, app).await
    })
}

async fn app(contestant: Contestant, dir: &Path) -> io::Result<Router> {
    match contestant {
        Contestant::Discard => Ok(bare::discarding()),
        Contestant::Inline => bare::writing(dir.join(FILES)),
        Contestant::Store => resumable::app(dir, "store").await,
        Contestant::Handler => resumable::app(dir, "handler").await,
    }
}
