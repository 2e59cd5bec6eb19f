//! The torture app: the layer around a handler that keeps a ledger of its calls.
//!
//! It is mounted as the example server mounts its own app. Its handler stores nothing: it says
//! what it was given, in the file that [`CALLS`] names (see [`super::calls`]). Nothing of that is
//! flushed; the file lies where no fault strikes.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sha2::{Digest as _, Sha256};
use steadfast::SteadfastLayer;
use steadfast::config::UploadConfig;
use tokio::net::TcpListener;
use tower::Layer as _;

use super::rng::Rng;
use crate::script::BoxError;

/// Names the file of calls.
pub const CALLS: &str = "STEADFAST_TORTURE_CALLS";
/// The number of this start.
pub const RUN: &str = "STEADFAST_TORTURE_RUN";
/// The longest a call may take, in milliseconds.
pub const DELAY: &str = "STEADFAST_TORTURE_DELAY_MS";

/// The ledger of calls, and what calls do.
struct Handler {
    calls: File,
    run: u64,
    next: AtomicU64,
    delay_ms: usize,
}

impl Handler {
    fn from_env() -> Result<Self, BoxError> {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        let path = std::env::var_os(CALLS).ok_or_else(|| format!("{CALLS} names no file"))?;
        Ok(Self {
            calls: OpenOptions::new().create(true).append(true).open(path)?,
            run: number(RUN).unwrap_or_default(),
            next: AtomicU64::default(),
            delay_ms: number(DELAY).and_then(|n| n.try_into().ok()).unwrap_or(0),
        })
    }

    /// Adds a line in one write, which `kill -9` cannot cut.
    fn note(&self, number: u64, what: &str) -> std::io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = now.unwrap_or_default().as_millis();
        let line = format!("{at} {} {number} {what}\n", self.run);
        (&self.calls).write_all(line.as_bytes())
    }

    async fn take(&self, number: u64, request: Request) -> Result<Response, BoxError> {
        let key = request.headers().get("idempotency-key");
        let key = key.and_then(|key| key.to_str().ok()).unwrap_or("none");
        let mut rng = Rng::new(0).fork(key);
        let pauses = [(); 2].map(|()| rng.millis(0..=self.delay_ms / 2));
        self.note(number, &format!("begin {key}"))?;
        tokio::time::sleep(pauses[0]).await;
        let taken = read(request).await;
        let (sha256, len, name) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.note(number, "broken 0")?;
                return Err(error.into());
            }
        };
        tokio::time::sleep(pauses[1]).await;
        self.note(number, &format!("end {sha256} {len} {name}"))?;
        let answer = serde_json::json!({
            "sha256": sha256, "size": len, "call": format!("{}-{number}", self.run),
        });
        Ok((StatusCode::CREATED, Json(answer)).into_response())
    }
}

/// SHA-256, length and name of the file in a form.
async fn read(request: Request) -> Result<(String, usize, String), MultipartError> {
    let (mut hash, mut len, mut name) = (Sha256::new(), 0, "none".to_owned());
    // What is no form has no field, and so no name.
    if let Ok(mut form) = Multipart::from_request(request, &()).await {
        while let Some(mut field) = form.next_field().await? {
            name = field.file_name().unwrap_or("none").to_owned();
            while let Some(piece) = field.chunk().await? {
                hash.update(&piece);
                len += piece.len();
            }
        }
    }
    Ok((hex::encode(hash.finalize()), len, name))
}

async fn upload(State(handler): State<Arc<Handler>>, request: Request) -> Response {
    let number = handler.next.fetch_add(1, Ordering::Relaxed);
    let taken = handler.take(number, request).await;
    taken.unwrap_or_else(|error| {
        let text = format!("the upload broke off: {error}");
        (StatusCode::BAD_REQUEST, text).into_response()
    })
}

/// Serves until it is told to stop.
///
/// # Errors
/// What the configuration, the state directory or the socket says.
pub fn serve(config: &Path) -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores + 1)
        .max_blocking_threads(32)
        .enable_all()
        .build()?;
    let serving = async {
        let config = UploadConfig::from_file_or_default(config)?.config;
        let listener = TcpListener::bind(&config.server.bind).await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/upload", post(upload).layer(DefaultBodyLimit::disable()))
            .route("/files", get(|| async { "none is kept" }))
            .with_state(Arc::new(Handler::from_env()?));
        let (layer, driver) = SteadfastLayer::from_config(config.clone()).await?;
        let driver = driver.deliver_through::<Body, _>(app.clone());
        let app = Router::new().fallback_service(layer.layer(app));
        writeln!(std::io::stdout(), "{}", driver.summary(address))?;
        steadfast::serve(listener, app, &config, driver).await?;
        Ok::<_, BoxError>(())
    };
    runtime.block_on(serving)?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}
