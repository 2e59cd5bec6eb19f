//! A server of which only the sessions matter: its handler keeps nothing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use steadfast::SteadfastLayer;
use steadfast::config::UploadConfig;
use tokio::net::TcpListener;
use tower::Layer as _;

/// Serves with a configuration, a text in TOML, once `tell` was told where.
///
/// # Errors
/// What is wrong with the configuration, or why nothing can be served, or what `tell` says.
pub async fn serve(
    config: &str,
    tell: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> io::Result<()> {
    let config = UploadConfig::from_toml(config)
        .map_err(io::Error::other)?
        .config;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let layer = SteadfastLayer::from_config(config.clone()).await;
    let (layer, driver) = layer.map_err(io::Error::other)?;
    let app = Router::new().route("/upload", post(|| async { "kept" }));
    let driver = driver.deliver_through::<Body, _>(app.clone());
    let app = Router::new().fallback_service(layer.layer(app));
    tell(listener.local_addr()?)?;
    steadfast::serve(listener, app, &config, driver).await
}
