//! The same over HTTP/2, where what takes too long is a stream.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::client::let_header_timeout_pass;
use super::http2::{HEADERS, RST_STREAM, SOON, frame, get, http2, kinds};
use super::server::{LARGE, LIMITS, Running, SHORT};
use crate::serve::Limits;

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection ends soon after its last stream.
const LIMITED: Limits = Limits {
    read_timeout: SHORT,
    write_timeout: SHORT,
    header_timeout: SHORT,
    idle_timeout: SHORT,
    linger: SHORT,
    ..LIMITS
};

/// The head of a `POST`.
fn post(stream: u32, path: &str) -> Vec<u8> {
    let mut head = vec![0x83, 0x86, 0x04, path.len() as u8];
    head.extend(path.bytes());
    head.extend([0x01, 1, b'a']);
    frame(HEADERS, END_HEADERS, stream, &head)
}

fn count(kinds: &[u8], kind: u8) -> usize {
    kinds.iter().filter(|other| **other == kind).count()
}

/// Whether a head in `bytes` has the status 408, as a literal without Huffman coding or with it.
fn has_408(bytes: &[u8]) -> bool {
    let coded: &[u8] = &[0x68, 0x0f, 0x7f];
    bytes
        .windows(3)
        .any(|three| three == b"408" || three == coded)
}

#[test]
fn a_body_that_stops_ends_its_stream() {
    let server = Running::new(LIMITED);
    let mut client = http2(&server);
    let begin = Instant::now();
    client.send(post(1, "/whole"));
    client.send(frame(DATA, 0, 1, b"12345"));
    client.send(get(3, "/"));
    let rest = client.rest();
    assert!(begin.elapsed() < SOON);
    let kinds = kinds(&rest);
    assert_eq!(count(&kinds, HEADERS), 2, "{kinds:?}");
    assert!(has_408(&rest));
    assert!(rest.windows(12).any(|text| text == b"read timeout"));
}

#[test]
fn an_app_may_take_its_time_with_a_body_that_is_there() {
    let server = Running::new(LIMITED);
    let mut client = http2(&server);
    client.send(post(1, "/whole"));
    client.send(frame(DATA, END_STREAM, 1, b"12345"));
    let_header_timeout_pass(server.address, 2);
    server.signals.go.open();
    let rest = client.rest();
    assert!(rest.windows(5).any(|text| text == b"whole"));
}

#[test]
fn an_answer_that_is_not_taken_is_reset() {
    for path in ["/large", "/flood"] {
        let server = Running::new(LIMITED);
        let mut client = http2(&server);
        let begin = Instant::now();
        // The connection may carry it; only the stream lacks the room.
        client.send(frame(WINDOW_UPDATE, 0, 0, &(LARGE as u32).to_be_bytes()));
        client.send(get(1, path));
        let_header_timeout_pass(server.address, 2);
        client.send(get(3, "/"));
        let rest = client.rest();
        assert!(begin.elapsed() < SOON, "{path}");
        let kinds = kinds(&rest);
        assert_eq!(count(&kinds, HEADERS), 2, "{path}: {kinds:?}");
        assert_eq!(count(&kinds, RST_STREAM), 1, "{path}: {kinds:?}");
        assert!(rest.windows(5).any(|text| text == b"hello"));
    }
}

#[test]
fn an_answer_that_trickles_is_reset_unless_that_is_meant() {
    for (path, resets) in [("/ticks", 1), ("/events", 0)] {
        let server = Running::new(LIMITED);
        let mut client = http2(&server);
        client.send(get(1, path));
        let_header_timeout_pass(server.address, 2);
        server.signals.go.open();
        let_header_timeout_pass(server.address, 1);
        if resets == 0 {
            // Its client has enough. The other stream is over, and maybe the connection.
            client.send(frame(RST_STREAM, 0, 1, &8u32.to_be_bytes()));
        }
        let rest = client.rest();
        let kinds = kinds(&rest);
        assert_eq!(count(&kinds, RST_STREAM), resets, "{path}: {kinds:?}");
        assert_eq!(count(&kinds, DATA), 1 - resets, "{path}: {kinds:?}");
        assert_eq!(server.signals.requests.load(Ordering::SeqCst), 1);
    }
}
