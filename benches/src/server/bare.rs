//! What the layer is measured against: axum, and nothing else.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::put;
use http_body_util::BodyExt as _;

/// Drops every body.
pub(super) fn discarding() -> Router {
    Router::new().route("/{name}/{offset}/{total}", put(discard))
}

async fn discard(mut body: Body) -> Result<StatusCode, StatusCode> {
    while next(&mut body).await?.is_some() {}
    Ok(StatusCode::NO_CONTENT)
}

/// When a bare server flushes what it has written.
#[derive(Clone, Copy)]
pub(super) enum Flush {
    Never,
    /// Before each answer, in the request's own task.
    Inline,
    /// Before each answer, on a blocking thread.
    Blocking,
}

impl Flush {
    async fn flush(self, file: Arc<File>) -> io::Result<()> {
        match self {
            Self::Never => Ok(()),
            Self::Inline => file.sync_data(),
            Self::Blocking => tokio::task::spawn_blocking(move || file.sync_data()).await?,
        }
    }
}

/// Writes every body into the file of its name in `dir`, at its offset.
pub(super) fn writing(dir: PathBuf, flush: Flush) -> io::Result<Router> {
    std::fs::create_dir_all(&dir)?;
    let files = Arc::new(Files {
        dir,
        flush,
        open: Mutex::default(),
    });
    Ok(Router::new()
        .route("/{name}/{offset}/{total}", put(write))
        .with_state(files))
}

async fn write(
    State(files): State<Arc<Files>>,
    Path((name, mut offset, total)): Path<(String, u64, u64)>,
    mut body: Body,
) -> Result<StatusCode, StatusCode> {
    let file = files.open(&name).map_err(failed)?;
    while let Some(bytes) = next(&mut body).await? {
        file.write_all_at(&bytes, offset).map_err(failed)?;
        offset += bytes.len() as u64;
    }
    if offset == total {
        files.close(&name);
    }
    files.flush.flush(file).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, StatusCode> {
    let Some(frame) = body.frame().await else {
        return Ok(None);
    };
    let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Some(frame.into_data().unwrap_or_default()))
}

fn failed(_: io::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// The files that are being written, each opened once.
struct Files {
    dir: PathBuf,
    flush: Flush,
    open: Mutex<HashMap<String, Arc<File>>>,
}

impl Files {
    fn open(&self, name: &str) -> io::Result<Arc<File>> {
        if let Some(file) = self.lock().get(name) {
            return Ok(Arc::clone(file));
        }
        // Two requests may come here with the first two chunks of a file: both get it.
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.dir.join(name))?;
        let file = Arc::new(file);
        self.lock().insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn close(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
