//! HTTP/2 with prior knowledge, by curl and by hand.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{Client, let_header_timeout_pass};
use super::server::{LIMITS, Running, SHORT};
use crate::serve::Limits;

pub(super) const SOON: Duration = Duration::from_secs(20);
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// `END_HEADERS`, `END_STREAM`.
const COMPLETE: u8 = 5;

/// What curl answers, or `None` where there is no curl that speaks HTTP/2.
fn curl(server: &Running, path: &str, options: &[&str]) -> Option<String> {
    let version = Command::new("curl").arg("--version").output().ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if !version.is_some_and(|version| version.contains("HTTP2")) {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: no curl that speaks HTTP/2");
        }
        return None;
    }
    let output = Command::new("curl")
        .args([
            "--http2-prior-knowledge",
            "--silent",
            "--show-error",
            "--max-time",
            "60",
        ])
        .args(["--write-out", " %{http_version} %{http_code}"])
        .args(options)
        .arg(format!("http://{}{path}", server.address))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_request_is_answered() {
    let server = Running::new(LIMITS);
    let Some(answer) = curl(&server, "/", &[]) else {
        return;
    };
    assert_eq!(answer, "hello 2 200");
}

#[test]
fn an_upload_arrives_whole() {
    let server = Running::new(LIMITS);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("body");
    std::fs::write(&file, vec![b'x'; 20 << 20]).unwrap();
    let upload = format!("@{}", file.display());
    let Some(answer) = curl(&server, "/count", &["--data-binary", &upload]) else {
        return;
    };
    assert_eq!(answer, format!("{} 2 200", 20 << 20));
}

#[test]
fn a_large_head_is_refused() {
    let server = Running::new(LIMITS);
    let header = format!("x: {}", "x".repeat(60 << 10));
    let Some(answer) = curl(&server, "/", &["--header", &header]) else {
        return;
    };
    assert_eq!(answer, " 2 431");
    assert_eq!(server.signals.requests.load(Ordering::SeqCst), 0);
}

/// A client of HTTP/2 without any cleverness.
pub(super) fn http2(server: &Running) -> Client {
    let mut client = Client::new(server.address);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(frame(SETTINGS, 0, 0, &[]));
    client
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET`, with static table entries of HPACK for all but path and authority.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x86, 0x04, path.len() as u8];
    head.extend(path.bytes());
    head.extend([0x01, 1, b'a']);
    frame(HEADERS, COMPLETE, stream, &head)
}

/// The kinds of the frames in `bytes`.
pub(super) fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, ..] = *bytes {
        kinds.push(kind);
        bytes = &bytes[9 + u32::from_be_bytes([0, a, b, c]) as usize..];
    }
    kinds
}

#[test]
fn a_client_without_a_request_is_closed() {
    let server = Running::new(Limits {
        header_timeout: SHORT,
        ..LIMITS
    });
    let begin = Instant::now();
    let rest = http2(&server).rest();
    assert!(!kinds(&rest).contains(&HEADERS));
    assert!(!rest.windows(4).any(|four| four == b"HTTP"));
    let took = begin.elapsed();
    assert!(SHORT <= took && took < SOON, "{took:?}");
}

#[test]
fn an_idle_client_is_told_and_closed() {
    let server = Running::new(Limits {
        idle_timeout: SHORT,
        linger: SHORT,
        ..LIMITS
    });
    let begin = Instant::now();
    let mut client = http2(&server);
    client.send(get(1, "/"));
    let kinds = kinds(&client.rest());
    assert!(
        kinds.contains(&HEADERS) && kinds.contains(&GOAWAY),
        "{kinds:?}"
    );
    let took = begin.elapsed();
    assert!(2 * SHORT <= took && took < SOON, "{took:?}");
}

#[test]
fn a_running_request_has_no_timeout() {
    let limits = Limits {
        header_timeout: SHORT,
        idle_timeout: SHORT,
        linger: SHORT,
        ..LIMITS
    };
    let server = Running::new(limits);
    let mut client = http2(&server);
    client.send(get(1, "/"));
    client.send(get(3, "/wait"));
    let_header_timeout_pass(server.address, 4);
    server.signals.go.open();
    let kinds = kinds(&client.rest());
    let answers = kinds.iter().filter(|kind| **kind == HEADERS).count();
    assert_eq!(answers, 2, "{kinds:?}");
    assert!(!kinds.contains(&RST_STREAM));
}

#[test]
fn a_running_request_finishes_when_the_server_stops() {
    let server = Running::new(Limits {
        linger: SHORT,
        ..LIMITS
    });
    let signals = std::sync::Arc::clone(&server.signals);
    let mut client = http2(&server);
    client.send(get(1, "/wait"));
    while signals.requests.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let begin = Instant::now();
    let stopping = server.stop();
    signals.go.open();
    // This client does not answer the ping that tells it to go, so `linger` must end the wait.
    let kinds = kinds(&client.rest());
    assert!(begin.elapsed() < SOON);
    assert!(
        kinds.contains(&HEADERS) && kinds.contains(&GOAWAY),
        "{kinds:?}"
    );
    drop(client);
    assert!(stopping.end().is_complete());
}

#[test]
fn a_stuck_request_is_cut() {
    let server = Running::new(Limits {
        shutdown: SHORT,
        ..LIMITS
    });
    let signals = std::sync::Arc::clone(&server.signals);
    let mut client = http2(&server);
    client.send(get(1, "/never"));
    while signals.requests.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(server.stop().end().cut, 1);
    client.rest();
    assert!(
        signals.dropped.load(Ordering::SeqCst),
        "the handler outlived the server"
    );
}
