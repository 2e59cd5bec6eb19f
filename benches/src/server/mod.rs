//! The contestants: one accept loop, one runtime, several applications.

mod bare;
mod beside;
mod control;
mod resumable;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use bare::Flush;

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
    let bare = |flush| bare::writing(dir.join(FILES), flush);
    let durability = contestant.durability().unwrap_or_default();
    let app = match contestant {
        Contestant::Discard => bare::discarding(),
        Contestant::Inline => bare(Flush::Never)?,
        Contestant::InlineFlush => bare(Flush::Inline)?,
        Contestant::BlockingFlush => bare(Flush::Blocking)?,
        Contestant::Store | Contestant::StorePower => {
            return resumable::app(dir, "store", durability).await;
        }
        Contestant::Handler | Contestant::HandlerPower => {
            return resumable::app(dir, "handler", durability).await;
        }
    };
    Ok(app.merge(beside::routes(dir)))
}
