//! Stores files that come as multipart forms, lists them and serves them.
//!
//! | request | answer |
//! |---|---|
//! | `POST /upload`, form field `file` | `201` `{"name", "size", "url"}` |
//! | `GET /files` | `200` `[{"name", "size", "modified"}]`, sorted by name |
//! | `GET /files/{name}` | the file, always as a download; `Range` and conditional requests work |
//!
//! Refusals are `{"error": "<sentence>"}`. A file appears under its name at once and whole: it is
//! received under a hidden name in the same directory, flushed, then moved. A name that is taken
//! becomes `name (1).ext`; nothing is overwritten.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Multipart, Path as UrlPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tempfile::TempPath;
use tokio::io::{AsyncWriteExt, BufWriter};
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// Largest request in bytes: a file of 10 GiB, and room for the form around it.
const MAX_REQUEST: usize = (10 << 30) + (1 << 20);

/// Bytes handed to the disk at once: large enough that the trip to a blocking thread costs little.
const WRITE_SIZE: usize = 256 << 10;

/// How the hidden names of unfinished files begin.
const TEMPORARY: &str = ".incoming-";

/// Age at which an unfinished file that nobody writes to any more must be the leftover of a crash.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// How many names are tried before a file is refused.
const MAX_NAMES: u32 = 10_000;

/// What stays readable in a URL's path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The routes, for files in `dir`; the first upload creates it.
pub fn router(dir: impl Into<PathBuf>) -> Router {
    let dir: Arc<Path> = dir.into().into();
    remove_abandoned(&dir);
    Router::new()
        .route(
            "/upload",
            post(upload).layer(DefaultBodyLimit::max(MAX_REQUEST)),
        )
        .route("/files", get(list))
        .route("/files/{name}", get(download))
        .with_state(dir)
}

/// The answer to an upload.
#[derive(Serialize)]
struct Saved {
    name: String,
    size: u64,
    url: String,
}

async fn upload(
    State(dir): State<Arc<Path>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Failure> {
    let mut form = form?;
    let mut received = None;
    // To the end of the form before anything is saved: a request that breaks off leaves nothing.
    while let Some(field) = form.next_field().await? {
        if field.name() != Some("file") {
            continue;
        }
        if received.is_some() {
            return Err(Failure::bad_request("send one file per request"));
        }
        let name = field.file_name().filter(|name| is_safe(name));
        let name = name
            .ok_or(Failure::bad_request(
                "the file needs a plain name of at most 255 bytes",
            ))?
            .to_owned();
        received = Some((name, receive(dir.clone(), field).await?));
    }
    let (name, (temporary, size)) =
        received.ok_or(Failure::bad_request("the form has no field `file`"))?;
    let name = blocking(move || save(temporary, &dir, &name))
        .await?
        .ok_or(Failure::new(
            StatusCode::CONFLICT,
            "there are too many files of that name",
        ))?;
    let url = format!("/files/{}", utf8_percent_encode(&name, SEGMENT));
    let location = [(header::LOCATION, url.clone())];
    Ok((
        StatusCode::CREATED,
        location,
        Json(Saved { name, size, url }),
    )
        .into_response())
}

/// Streams `field` to a temporary file, which removes itself unless it is saved: also when the
/// client goes away.
async fn receive(dir: Arc<Path>, mut field: Field<'_>) -> Result<(TempPath, u64), Failure> {
    let (file, path) = blocking(move || create_temporary(&dir)).await?;
    let mut file = BufWriter::with_capacity(WRITE_SIZE, tokio::fs::File::from_std(file));
    let mut size = 0;
    while let Some(bytes) = field.chunk().await? {
        file.write_all(&bytes).await?;
        size += bytes.len() as u64;
    }
    // A tokio file writes in the background: only `flush` tells whether the last write succeeded.
    // Then to the disk, so that a power failure cannot leave an empty file under the final name.
    file.flush().await?;
    file.get_ref().sync_all().await?;
    Ok((path, size))
}

fn create_temporary(dir: &Path) -> io::Result<(fs::File, TempPath)> {
    fs::create_dir_all(dir)?;
    let mut builder = tempfile::Builder::new();
    // For their owner alone by default; these are to become ordinary files, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    Ok(builder.prefix(TEMPORARY).tempfile_in(dir)?.into_parts())
}

/// Moves a received file to the first of `name`, `name (1)`, … that is free, and answers which it
/// was: none, if all it may try are taken.
fn save(mut temporary: TempPath, dir: &Path, name: &str) -> io::Result<Option<String>> {
    for n in 0..MAX_NAMES {
        let candidate = numbered(name, n);
        // One step that fails if the name exists: asking first would lose a race with another upload.
        match temporary.persist_noclobber(dir.join(&candidate)) {
            Ok(()) => {
                #[cfg(unix)]
                fs::File::open(dir)?.sync_all()?;
                return Ok(Some(candidate));
            }
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {
                temporary = taken.path;
            }
            Err(failed) => return Err(failed.error),
        }
    }
    Ok(None)
}

/// `a.zip` becomes `a (1).zip`, shortened where that is longer than a file name may be.
fn numbered(name: &str, n: u32) -> String {
    if n == 0 {
        return name.to_owned();
    }
    let number = format!(" ({n})");
    let dot = name
        .rfind('.')
        .filter(|dot| name.len() - dot <= 32)
        .unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let room = 255 - number.len() - extension.len();
    format!(
        "{}{number}{extension}",
        &stem[..stem.floor_char_boundary(room)]
    )
}

/// Whether `name` is one path component that is neither hidden nor a trap for whoever lists the
/// directory.
fn is_safe(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control())
}

/// One line of the list.
#[derive(Serialize)]
struct Listed {
    name: String,
    size: u64,
    /// RFC 3339, UTC.
    modified: String,
}

async fn list(State(dir): State<Arc<Path>>) -> Result<Json<Vec<Listed>>, Failure> {
    let all = move || {
        fs::read_dir(dir)?
            .filter_map(|entry| listed(entry).transpose())
            .collect()
    };
    let mut files: Vec<Listed> = match blocking(all).await {
        // The first upload creates the directory.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(files))
}

/// What the list says of a directory entry: nothing unless [`download`] would serve it.
fn listed(entry: io::Result<fs::DirEntry>) -> io::Result<Option<Listed>> {
    let entry = entry?;
    let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) else {
        return Ok(None);
    };
    if !is_safe(&name) || !metadata.is_file() {
        return Ok(None);
    }
    let modified = humantime::format_rfc3339_seconds(metadata.modified()?).to_string();
    Ok(Some(Listed {
        name,
        size: metadata.len(),
        modified,
    }))
}

async fn download(
    State(dir): State<Arc<Path>>,
    UrlPath(name): UrlPath<String>,
    request: Request,
) -> Result<Response, Failure> {
    let not_found = Failure::new(StatusCode::NOT_FOUND, "there is no such file");
    let path = dir.join(&name);
    // Links are not followed: whoever may write into the directory may not thereby read others.
    if !is_safe(&name)
        || !tokio::fs::symlink_metadata(&path)
            .await
            .is_ok_and(|metadata| metadata.is_file())
    {
        return Err(not_found);
    }
    let mut response = match ServeFile::new(path).oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    };
    // Strangers wrote these files: an HTML page among them must not run as a page of this site.
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

/// Removes what a killed process could not. By age alone, since another process may still be
/// receiving into `dir`.
fn remove_abandoned(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let hidden = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(OsStr::new(TEMPORARY).as_encoded_bytes());
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let abandoned = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED));
        if hidden && abandoned && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(name = ?entry.file_name(), "removed an upload that a crash had cut off");
        }
    }
}

/// Runs disk work that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// What a client is told when something fails; causes and paths go to the log.
struct Failure {
    status: StatusCode,
    error: String,
}

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    fn bad_request(error: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (
            self.status,
            Json(serde_json::json!({ "error": self.error })),
        )
            .into_response()
    }
}

impl From<MultipartRejection> for Failure {
    fn from(rejection: MultipartRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<MultipartError> for Failure {
    fn from(error: MultipartError) -> Self {
        if error.status().is_server_error() {
            tracing::info!(cause = %error.body_text(), "an upload broke off");
            return Self::new(error.status(), "the request could not be read to its end");
        }
        Self::new(error.status(), error.body_text())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "the upload directory cannot be used");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "the disk is full")
            }
            io::ErrorKind::FileTooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the file is too large")
            }
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server could not store or read the file",
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
