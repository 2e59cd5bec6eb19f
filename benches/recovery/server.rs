//! The server, in a process of its own.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use steadfast::SteadfastLayer;
use steadfast::config::UploadConfig;
use tokio::net::TcpListener;
use tower::Layer as _;

/// The configuration, in the directory of the server.
pub(crate) const CONFIG: &str = "config.toml";

/// Serves until standard input ends; tells the port on standard output.
pub(crate) fn serve(dir: &Path) -> io::Result<()> {
    thread::Builder::new().spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    })?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores + 1)
        .enable_all()
        .build()?;
    let config = fs::read_to_string(dir.join(CONFIG))?;
    let loaded = UploadConfig::from_toml(&config).map_err(io::Error::other)?;
    runtime.block_on(async {
        let config = loaded.config;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let layer = SteadfastLayer::from_config(config.clone()).await;
        let (layer, driver) = layer.map_err(io::Error::other)?;
        let app = Router::new().route("/upload", post(|| async { "kept" }));
        let driver = driver.deliver_through::<Body, _>(app.clone());
        let app = Router::new().fallback_service(layer.layer(app));
        let mut out = io::stdout();
        writeln!(out, "{}", listener.local_addr()?.port())?;
        out.flush()?;
        steadfast::serve(listener, app, &config, driver).await
    })
}
