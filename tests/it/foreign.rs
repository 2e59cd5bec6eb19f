//! Requests that are not ours get the answer they would get without the layer, byte for byte but for
//! the date: design invariant 10.
//!
//! The requests are data: `vectors/foreign/http1.jsonl` and `http2.jsonl`, one exchange a line. In
//! the first, `send` is a list of texts, whose characters U+0000 to U+00FF are the bytes sent;
//! `{"repeat": [text, count]}` is that text so many times, and `{"until": text}` waits until the
//! answer contains the text. Every exchange ends with the server closing the connection.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use steadfast::SteadfastLayer;
use steadfast::config::UploadConfig;
use steadfast_tests::app;
use steadfast_tests::config::Config;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower::Layer as _;

use crate::foreign_app;

const HTTP1: &str = include_str!("../vectors/foreign/http1.jsonl");
const HTTP2: &str = include_str!("../vectors/foreign/http2.jsonl");

/// No exchange takes that long.
const LIMIT: Duration = Duration::from_secs(10);

/// The same app twice: as it is, and behind the layer.
struct Twins {
    runtime: Runtime,
    bare: SocketAddr,
    wrapped: SocketAddr,
}

impl Twins {
    fn start(dir: &Path) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (bare, wrapped) = runtime.block_on(async {
            let app = foreign_app::app(dir);
            let wrapped = wrap(app.clone(), dir).await;
            (serve(app).await, serve(wrapped).await)
        });
        Self {
            runtime,
            bare,
            wrapped,
        }
    }
}

async fn wrap(app: Router, dir: &Path) -> Router {
    let config = app::placed(Config::with("[security]\nprotect = []"), dir);
    let config = UploadConfig::from_toml(&config.text())
        .expect("a configuration")
        .config;
    let (layer, driver) = SteadfastLayer::from_config(config).await.expect("a layer");
    tokio::spawn(driver.run());
    Router::new().fallback_service(layer.layer(app))
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    send: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Text(String),
    Repeat { repeat: (String, usize) },
    Until { until: String },
}

/// The bytes of a text with characters up to U+00FF.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).expect("a character up to U+00FF"))
        .collect()
}

/// Reads into `seen` until `enough` or the end; true for the former.
fn read_until(
    stream: &mut TcpStream,
    seen: &mut Vec<u8>,
    enough: impl Fn(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut piece = [0; 16 * 1024];
    while !enough(seen) {
        match stream.read(&mut piece)? {
            0 => return Ok(false),
            count => seen.extend_from_slice(&piece[..count]),
        }
    }
    Ok(true)
}

/// Everything the server sends in an exchange, up to its end.
fn play(addr: SocketAddr, steps: &[Step]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&addr, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut seen = Vec::new();
    for step in steps {
        match step {
            Step::Text(text) => stream.write_all(&latin1(text))?,
            Step::Repeat {
                repeat: (text, count),
            } => stream.write_all(&latin1(text).repeat(*count))?,
            Step::Until { until } => {
                let until = latin1(until);
                let there = |seen: &[u8]| seen.windows(until.len()).any(|at| at == until);
                if !read_until(&mut stream, &mut seen, there)? {
                    return Err(io::Error::other("the connection ended before its time"));
                }
            }
        }
    }
    read_until(&mut stream, &mut seen, |_| false)?;
    Ok(seen)
}

/// `bytes` without the value of every `date` header.
fn undated(bytes: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"\r\ndate: ";
    const LEN: usize = "Sat, 01 Jan 2000 00:00:00 GMT\r\n".len();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(NAME.len()).position(|at| at == NAME) {
        let (before, date) = rest.split_at(at + NAME.len());
        assert!(
            date[..LEN].ends_with(b" GMT\r\n"),
            "{}",
            date.escape_ascii()
        );
        out.extend_from_slice(before);
        rest = &date[LEN - 2..];
    }
    out.extend_from_slice(rest);
    out
}

/// The status codes in what a server sent, but for `100 Continue`.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    let heads = text
        .match_indices("HTTP/1.")
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
    heads.filter(|status| *status != 100).collect()
}

#[test]
fn the_layer_changes_no_foreign_answer() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let twins = Twins::start(dir.path());
    let (mut count, mut seen) = (0, Vec::new());
    for line in HTTP1.lines() {
        let Exchange { name, send } =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let [bare, wrapped] = [twins.bare, twins.wrapped].map(|addr| {
            let answer = play(addr, &send).unwrap_or_else(|error| panic!("{name}: {error}"));
            undated(&answer)
        });
        assert!(
            bare == wrapped,
            "{name}\n--- bare\n{}\n--- wrapped\n{}",
            bare.escape_ascii(),
            wrapped.escape_ascii()
        );
        let codes = statuses(&bare);
        assert!(!codes.is_empty(), "{name}: no answer at all");
        count += codes.len();
        seen.extend(codes);
    }
    assert!(count >= 200, "only {count} requests");
    for status in [
        200, 201, 204, 206, 302, 303, 304, 308, 400, 404, 405, 413, 415, 416, 418, 500,
    ] {
        assert!(seen.contains(&status), "nothing was answered {status}");
    }
}

#[derive(Deserialize)]
struct Request2 {
    name: String,
    method: String,
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Vec<Step>,
}

impl Request2 {
    fn body(&self) -> Vec<u8> {
        let bytes = |step: &Step| match step {
            Step::Text(text) => latin1(text),
            Step::Repeat {
                repeat: (text, count),
            } => latin1(text).repeat(*count),
            Step::Until { .. } => panic!("{}: nothing to wait for", self.name),
        };
        self.body.iter().flat_map(bytes).collect()
    }
}

/// All of an answer but its date.
#[derive(Debug, PartialEq)]
struct Answer2 {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

async fn connect(addr: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(addr)
        .await
        .expect("a connection");
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, asked: &Request2) -> hyper::Result<Answer2> {
    let mut request = Request::builder().method(asked.method.as_str());
    request = request.uri(format!("http://localhost{}", asked.path));
    for (name, value) in &asked.headers {
        request = request.header(name, latin1(value));
    }
    let request = request
        .body(Full::new(asked.body().into()))
        .expect("a request");
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let headers = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::DATE);
    let headers = headers
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    Ok(Answer2 {
        status: parts.status.as_u16(),
        headers,
        body: body.to_bytes(),
        trailers,
    })
}

#[test]
fn the_layer_changes_no_foreign_answer_over_http2() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let twins = Twins::start(dir.path());
    let count = twins.runtime.block_on(async {
        let (mut bare, mut wrapped) = (connect(twins.bare).await, connect(twins.wrapped).await);
        let mut count = 0;
        for line in HTTP2.lines() {
            let asked: Request2 =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let bare = tokio::time::timeout(LIMIT, ask(&mut bare, &asked))
                .await
                .expect("in time");
            let wrapped = tokio::time::timeout(LIMIT, ask(&mut wrapped, &asked))
                .await
                .expect("in time");
            assert_eq!(
                bare.expect("an answer"),
                wrapped.expect("an answer"),
                "{}",
                asked.name
            );
            count += 1;
        }
        count
    });
    assert!(count >= 40, "only {count} requests");
}

#[test]
fn the_comparison_would_notice_a_difference() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let twins = Twins::start(dir.path());
    let ours = "GET /upload/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let [bare, wrapped] =
        [twins.bare, twins.wrapped].map(|addr| play(addr, &[Step::Text(ours.to_owned())]).unwrap());
    assert_ne!(undated(&bare), undated(&wrapped));
    assert_eq!(statuses(&bare), [200], "the app has this route too");
    assert_eq!(statuses(&wrapped), [400], "and the layer takes it");
}
