//! Whether the server lives, and whether it can take uploads: for whoever watches it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /health` | `200` `{"status": "ok", "timestamp", "version", "features", "durability"}` |
//! | `GET /health/ready` | `200` or `503` `{"status", "checks": {"store", "disk", "drain"}}` |
//!
//! The first answers as long as the process does, whatever the disk and the store are like; the
//! second says why this server should be sent no clients now. Neither asks who wants to know.

use std::time::SystemTime;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use steadfast::Health;

/// Seconds until it is worth asking again.
const RETRY_AFTER: &str = "5";

/// The routes.
pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/health", get(alive))
        .route("/health/ready", get(ready))
        .with_state(health)
}

async fn alive(State(health): State<Health>) -> Response {
    let body = json!({
        "status": "ok",
        "timestamp": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "features": health.features(),
        "durability": health.durability().name(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn ready(State(health): State<Health>) -> Response {
    let readiness = health.ready().await;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let answer = (headers, readiness.to_json());
    if readiness.is_ready() {
        return answer.into_response();
    }
    let retry_after = [(header::RETRY_AFTER, RETRY_AFTER)];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, answer).into_response()
}
