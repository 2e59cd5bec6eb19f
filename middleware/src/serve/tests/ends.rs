//! The client can always read its answer.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::client::Client;
use super::server::{LIMITS, Running, SHORT};
use crate::serve::Limits;

const BODY: usize = 5 << 20;

#[test]
fn a_client_that_sends_everything_first_reads_the_refusal() {
    let server = Running::new(LIMITS);
    let body = vec![b'x'; BODY];
    for round in 0..50 {
        let mut client = Client::new(server.address);
        client.post("/refuse", BODY);
        client.send(&body);
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.body.len()),
            (401, 7000),
            "round {round}"
        );
        client.closed();
    }
}

#[test]
fn a_slow_client_reads_the_refusal() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    client.post("/refuse", BODY);
    let mut writer = client.stream.try_clone().unwrap();
    // Paced by a socket that hears nothing: the answer must wait in the client's kernel.
    let mut pace = Client::new(server.address);
    for piece in vec![b'x'; BODY].chunks(BODY / 50) {
        writer.write_all(piece).unwrap();
        assert!(pace.is_silent_for(Duration::from_millis(10)));
    }
    assert_eq!(client.answer().status, 401);
    client.closed();
}

#[test]
fn a_client_that_half_closes_after_its_body_reads_the_refusal() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    client.post("/refuse", BODY);
    client.send(vec![b'x'; BODY]);
    client.finish();
    assert_eq!(client.answer().status, 401);
    client.closed();
}

#[test]
fn a_client_that_asks_first_is_refused_without_a_100() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    client.send("POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 5242880\r\n");
    client.send("expect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 401);
    client.closed();
}

#[test]
fn a_client_that_asks_first_and_is_welcome_gets_its_100() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    client.send("POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n");
    client.send("expect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 100);
    client.send("abc");
    assert_eq!(client.answer().text(), "3");
}

#[test]
fn lingering_ends_and_frees_its_place() {
    let limits = Limits {
        linger: SHORT,
        max_connections: 1,
        ..LIMITS
    };
    let server = Running::new(limits);
    let mut endless = Client::new(server.address);
    let begin = Instant::now();
    endless.post("/refuse", BODY);
    assert_eq!(endless.answer().status, 401);
    // It never closes, so only the bound can free the place.
    let mut next = Client::new(server.address);
    next.ask("/");
    assert_eq!(next.answer().text(), "hello");
    let took = begin.elapsed();
    assert!(
        took >= SHORT,
        "the first connection did not linger: {took:?}"
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn lingering_does_not_delay_the_stop() {
    let limits = Limits {
        linger: Duration::from_secs(60),
        shutdown: SHORT,
        ..LIMITS
    };
    let server = Running::new(limits);
    let mut client = Client::new(server.address);
    client.post("/refuse", BODY);
    assert_eq!(client.answer().status, 401);
    client.closed();
    let begin = Instant::now();
    let (drained, _runtime) = server.stop().end_in_runtime();
    let took = begin.elapsed();
    assert!(drained.is_complete(), "its answer was out: {drained:?}");
    assert!(SHORT <= took && took < Duration::from_secs(20), "{took:?}");
    // Nobody listens any more, so what is sent is answered by a reset.
    while client.stream.write(b"x").is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(20), "still lingering");
    }
}

#[test]
fn a_polite_close_is_not_delayed() {
    let server = Running::new(Limits {
        linger: Duration::from_secs(60),
        ..LIMITS
    });
    let mut client = Client::new(server.address);
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    assert!(client.closed() < Duration::from_secs(20));
}
