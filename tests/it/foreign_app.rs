//! An app with all sorts of routes, none of them ours.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Multipart, Path as UrlPath, RawQuery, Request};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, delete, get, post};
use axum::{Json, Router};
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use steadfast_tests::data;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_http::services::{ServeDir, ServeFile};

/// Bytes of every frame that [`Reframed`] gives out, so that answers do not depend on how the
/// request arrived.
const FRAME: usize = 1000;

/// The app; its files lie in `dir`.
pub(crate) fn app(dir: &Path) -> Router {
    let files = dir.join("files");
    std::fs::create_dir_all(files.join("sub")).expect("a directory");
    std::fs::write(files.join("data.bin"), data::random(1, 100_000)).expect("a file");
    std::fs::write(files.join("sub/index.html"), "<p>index</p>\n").expect("a file");
    Router::new()
        .merge(simple())
        .merge(bodies())
        .merge(near())
        .route_service("/file", ServeFile::new(files.join("data.bin")))
        .nest_service("/files", ServeDir::new(files))
}

fn simple() -> Router {
    Router::new()
        .route("/", get(|| async { "hello\n" }))
        .route(
            "/text/{name}",
            get(|UrlPath(name): UrlPath<String>| async move { format!("name {name:?}\n") }),
        )
        .route(
            "/wild/{*rest}",
            get(|UrlPath(rest): UrlPath<String>| async move { format!("rest {rest:?}\n") }),
        )
        .route(
            "/query",
            get(|RawQuery(query): RawQuery| async move { format!("{query:?}\n") }),
        )
        .route(
            "/method",
            any(|method: Method, uri: Uri| async move { format!("{method} {uri}\n") }),
        )
        .route("/headers", get(headers))
        .route("/cookies", get(cookies))
        .route("/big-headers", get(big_headers))
        .route(
            "/json",
            get(|| async { Json(serde_json::json!({ "a": [1, 2, 3], "b": null })) }),
        )
        .route("/redirect/{kind}", get(redirect))
        .route("/status/{code}", any(status))
        .route(
            "/things/{id}",
            delete(|UrlPath(id): UrlPath<u32>| async move { format!("deleted {id}\n") }).put(thing),
        )
        .route("/slash/", get(|| async { "with a slash\n" }))
        .route("/upgrade", get(upgrade))
}

fn bodies() -> Router {
    Router::new()
        .route(
            "/echo",
            post(|body: Bytes| async move { body }).put(|body: String| async move { body }),
        )
        .route(
            "/small",
            post(|body: Bytes| async move { body }).layer(DefaultBodyLimit::max(10)),
        )
        .route(
            "/sum",
            post(|body: Bytes| async move { data::sha256_hex(&body) }),
        )
        .route(
            "/json",
            post(|Json(value): Json<serde_json::Value>| async move {
                (StatusCode::CREATED, Json(value))
            }),
        )
        .route("/ignore", post(|| async { "the body does not matter\n" }))
        .route("/form", post(form))
        .route(
            "/stream",
            get(|| async { streamed(None) })
                .post(|body: Body| async move { Body::new(Reframed::new(body)) }),
        )
        .route("/trailers", get(trailers).post(received_trailers))
}

/// Neighbours of the layer's own routes, which the app may keep.
fn near() -> Router {
    let own = |method: Method, uri: Uri| async move { format!("the app's own {method} {uri}\n") };
    Router::new()
        .route("/upload", get(own).post(form))
        .route("/upload/{*rest}", any(own))
        .route("/uploads", any(own))
        .route("/Upload/{*rest}", any(own))
        .route("/chunked-upload", any(own))
        .route("/upload-status", any(own))
}

async fn headers(headers: HeaderMap) -> String {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.as_bytes().escape_ascii()))
        .collect()
}

async fn cookies(headers: HeaderMap) -> Response {
    let sent = headers
        .get_all(header::COOKIE)
        .iter()
        .map(|value| value.as_bytes().escape_ascii().to_string());
    let mut response = sent.collect::<Vec<_>>().join("\n").into_response();
    for cookie in ["a=1; Path=/", "b=2; HttpOnly", "a=3"] {
        response
            .headers_mut()
            .append(header::SET_COOKIE, HeaderValue::from_static(cookie));
    }
    response
}

async fn big_headers() -> Response {
    let mut response = "big\n".into_response();
    for number in 0..40 {
        let name: HeaderName = format!("x-big-{number}").parse().expect("a name");
        response.headers_mut().insert(
            name,
            HeaderValue::from_str(&"v".repeat(200)).expect("a value"),
        );
    }
    response.headers_mut().insert(
        "x-bytes",
        HeaderValue::from_bytes(b"\xff\x80 \xe9").expect("a value"),
    );
    response
}

async fn redirect(UrlPath(kind): UrlPath<String>) -> Response {
    match kind.as_str() {
        "see-other" => Redirect::to("/upload").into_response(),
        "temporary" => Redirect::temporary("/a?b=c").into_response(),
        "permanent" => Redirect::permanent("https://example.org/").into_response(),
        _ => (StatusCode::FOUND, [(header::LOCATION, "/%2F")], "found\n").into_response(),
    }
}

async fn status(UrlPath(code): UrlPath<u16>) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = [
        ("x-code", HeaderValue::from(code)),
        ("retry-after", HeaderValue::from_static("7")),
    ];
    (status, headers).into_response()
}

async fn thing(UrlPath(id): UrlPath<u32>, body: Bytes) -> Response {
    (
        StatusCode::CREATED,
        [(header::ETAG, "\"one\"")],
        format!("{id} has {} bytes\n", body.len()),
    )
        .into_response()
}

/// Lists the parts of a form.
async fn form(mut form: Multipart) -> Result<String, Response> {
    let mut listed = String::new();
    while let Some(field) = form
        .next_field()
        .await
        .map_err(IntoResponse::into_response)?
    {
        let (name, file) = (
            field.name().map(str::to_owned),
            field.file_name().map(str::to_owned),
        );
        let bytes = field.bytes().await.map_err(IntoResponse::into_response)?;
        listed += &format!(
            "{name:?} {file:?} {} {}\n",
            bytes.len(),
            data::sha256_hex(&bytes)
        );
    }
    Ok(listed)
}

/// Ten frames of no declared length, and perhaps trailers.
fn streamed(trailers: Option<HeaderMap>) -> Body {
    let pieces = (1..=10).map(|number| Bytes::from(format!("piece {number}\n").repeat(number)));
    Body::new(Pieces {
        pieces: pieces.collect(),
        trailers,
        waited: false,
    })
}

async fn trailers() -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("12345"));
    ([(header::TRAILER, "x-sum")], streamed(Some(trailers))).into_response()
}

async fn received_trailers(body: Body) -> String {
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().map(|trailers| format!("{trailers:?}"));
    format!("{} bytes, {trailers:?}\n", body.to_bytes().len())
}

/// Speaks another protocol on the connection: repeats five bytes and closes.
async fn upgrade(request: Request) -> Response {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await?;
        let (mut stream, mut bytes) = (TokioIo::new(upgraded), [0; 5]);
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "parrot")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A body of several frames, which is not ready at once for any of them.
struct Pieces {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    waited: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.pieces.pop_front().map(Frame::data);
        Poll::Ready(
            piece
                .or_else(|| self.trailers.take().map(Frame::trailers))
                .map(Ok),
        )
    }
}

/// The bytes of a request as they come, in frames of one length.
struct Reframed {
    inner: Body,
    held: BytesMut,
    ended: bool,
}

impl Reframed {
    fn new(inner: Body) -> Self {
        Self {
            inner,
            held: BytesMut::new(),
            ended: false,
        }
    }
}

impl HttpBody for Reframed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while !self.ended && self.held.remaining() < FRAME {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)?) {
                Some(frame) => self
                    .held
                    .extend_from_slice(&frame.into_data().unwrap_or_default()),
                None => self.ended = true,
            }
        }
        let len = self.held.remaining().min(FRAME);
        Poll::Ready((len > 0).then(|| Ok(Frame::data(self.held.split_to(len).freeze()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
