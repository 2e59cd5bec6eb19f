//! The server, on threads of this process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use steadfast::SteadfastLayer;
use steadfast::config::UploadConfig;
use tokio::net::TcpListener;
use tower::Layer as _;

/// Bytes of a chunk.
pub(crate) const CHUNK: usize = 64;

/// Serves until the process ends; answers where.
pub(crate) fn start(dir: &Path, redis_url: &str) -> io::Result<SocketAddr> {
    let config = config(dir, redis_url)?;
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    thread::Builder::new().spawn(move || {
        let served = runtime.block_on(serve(config, &sender));
        // Whoever waits for the address hears why there is none.
        let _ = served.map_err(|error| sender.send(Err(error)));
    })?;
    receiver.recv().map_err(io::Error::other)?
}

fn config(dir: &Path, redis_url: &str) -> io::Result<UploadConfig> {
    let state_dir = dir.join("state");
    let text = format!(
        "[server]\nname = \"one\"\n\
         [uploads]\nstate_dir = {state_dir:?}\ndurability = \"process\"\nmin_free_space = \"0\"\n\
         min_chunk_size = \"{CHUNK}\"\n\
         [security]\nenabled = false\n\
         [sessions]\nstore = \"redis\"\nredis_url = {redis_url:?}\n"
    );
    let loaded = UploadConfig::from_toml(&text).map_err(io::Error::other)?;
    Ok(loaded.config)
}

async fn serve(
    config: UploadConfig,
    told: &mpsc::Sender<io::Result<SocketAddr>>,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let layer = SteadfastLayer::from_config(config.clone()).await;
    let (layer, driver) = layer.map_err(io::Error::other)?;
    let app = Router::new().route("/upload", post(|| async { "kept" }));
    let driver = driver.deliver_through::<Body, _>(app.clone());
    let app = Router::new().fallback_service(layer.layer(app));
    let _ = told.send(listener.local_addr());
    steadfast::serve(listener, app, &config, driver).await
}
