//! A plain hyper service, made resumable: it counts the bytes it is sent at `POST /upload`.
//!
//! ```sh
//! cargo run --example plain_hyper -- 127.0.0.1:8090
//! ```

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use steadfast::{RequestBody, SteadfastLayer, UploadConfig};
use tokio::net::TcpListener;
use tower::Layer;

const CONFIG: &str = r#"
[uploads]
state_dir = "data/plain_hyper"
[delivery]
form = "raw"
[security]
enabled = false
"#;

/// The old handler: it knows a request and its body, and nothing of chunks.
async fn handle(
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_upload = request.method() == Method::POST && request.uri().path() == "/upload";
    let mut response = Response::default();
    if !is_upload {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Err(_) => {
                *response.status_mut() = StatusCode::BAD_REQUEST;
                return Ok(response);
            }
        }
    }
    *response.body_mut() = Full::from(format!("{bytes} bytes\n"));
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8090".to_owned());
    let app = tower::service_fn(handle);

    let loaded = UploadConfig::from_toml(CONFIG)?;
    let (layer, driver) = SteadfastLayer::from_config(loaded.config).await?;
    tokio::spawn(driver.deliver_through::<Incoming, _>(app).run());
    let app = layer.layer(app);

    let listener = TcpListener::bind(address).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
