use std::io;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::Multipart;
use axum::extract::multipart::MultipartError;
use axum::routing::post;
use steadfast::SteadfastLayer;
use steadfast::config::UploadConfig;
use tower::Layer as _;

use super::{FILES, beside};

/// The layer around a handler, with its state and its files below `dir`.
pub(super) async fn app(dir: &Path, mode: &str, durability: &str) -> io::Result<Router> {
    let loaded =
        UploadConfig::from_toml(&config(dir, mode, durability)).map_err(io::Error::other)?;
    let (layer, driver) = SteadfastLayer::from_config(loaded.config)
        .await
        .map_err(io::Error::other)?;
    let app = Router::new()
        .route("/upload", post(count))
        .merge(beside::routes(dir));
    tokio::spawn(driver.deliver_through::<Body, _>(app.clone()).run());
    Ok(Router::new().fallback_service(layer.layer(app)))
}

/// No signatures, as the bare servers check none. The durability is always said, so that figures
/// mean the same whatever the default is.
fn config(dir: &Path, mode: &str, durability: &str) -> String {
    let (state, files) = (dir.join("state"), dir.join(FILES));
    format!(
        "[uploads]\n\
         state_dir = {state:?}\n\
         durability = {durability:?}\n\
         min_free_space = \"1MB\"\n\
         [delivery]\n\
         mode = {mode:?}\n\
         storage_path = {files:?}\n\
         finalize_wait = \"60s\"\n\
         [deduplication]\n\
         enabled = false\n\
         [security]\n\
         enabled = false\n"
    )
}

/// An ordinary multipart handler: answers how many bytes it was sent.
async fn count(mut form: Multipart) -> Result<String, MultipartError> {
    let mut bytes = 0;
    while let Some(mut field) = form.next_field().await? {
        while let Some(piece) = field.chunk().await? {
            bytes += piece.len();
        }
    }
    Ok(bytes.to_string())
}
