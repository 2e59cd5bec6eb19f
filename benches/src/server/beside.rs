//! Something else that the app does: it writes a large file, and does not flush it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::{Path as Segments, State};
use axum::http::StatusCode;
use axum::routing::post;

use crate::workload::MIB;

/// `POST /beside/{mib}` writes as many MiB into a file in `dir`, and answers when it has.
pub(super) fn routes(dir: &Path) -> Router {
    Router::new()
        .route("/beside/{mib}", post(beside))
        .with_state(dir.join("beside.bin"))
}

async fn beside(State(path): State<PathBuf>, Segments(mib): Segments<u64>) -> StatusCode {
    match tokio::task::spawn_blocking(move || write(&path, mib)).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn write(path: &Path, mib: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let piece = vec![1; usize::try_from(MIB).unwrap_or(usize::MAX)];
    (0..mib).try_for_each(|_| file.write_all(&piece))
}
