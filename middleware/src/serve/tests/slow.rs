//! Requests that take too long to arrive, and responses that take too long to be taken.

use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{Client, let_header_timeout_pass};
use super::server::{LARGE, LIMITS, Running, SHORT};
use crate::serve::Limits;

/// The timeouts under test, and one whose passing can be seen.
const LIMITED: Limits = Limits {
    read_timeout: SHORT,
    write_timeout: SHORT,
    header_timeout: SHORT,
    ..LIMITS
};
/// A timeout other than the one under test would take this long at least.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_body_that_stops_is_answered_408() {
    let server = Running::new(LIMITED);
    let mut client = Client::new(server.address);
    let begin = Instant::now();
    client.post("/whole", 10);
    client.send("12345");
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    assert!(answer.head.contains("connection: close\r\n"));
    assert!(
        answer.text().contains("read timeout"),
        "the app's own words"
    );
    client.closed();
    let took = begin.elapsed();
    assert!(SHORT <= took && took < SOON, "{took:?}");
}

#[test]
fn a_body_that_dribbles_in_has_no_more_time() {
    let server = Running::new(LIMITED);
    let mut client = Client::new(server.address);
    let begin = Instant::now();
    client.post("/whole", 1000);
    client.dribble(&[b'x'; 1000], 1, SHORT / 10);
    assert_eq!(client.answer().status, 408);
    assert!(begin.elapsed() < SOON);
}

#[test]
fn what_the_app_makes_of_half_a_body_is_its_own_affair() {
    let server = Running::new(LIMITED);
    let mut client = Client::new(server.address);
    client.post("/count", 10);
    client.send("12345");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "5"));
    assert!(answer.head.contains("connection: close\r\n"));
    client.closed();
}

#[test]
fn an_app_may_take_its_time_with_a_body_that_is_there() {
    let server = Running::new(LIMITED);
    let mut client = Client::new(server.address);
    for _ in 0..2 {
        // Each request has its own time.
        client.post("/whole", 5);
        client.send("12345");
        let_header_timeout_pass(server.address, 2);
        server.signals.go.open();
        assert_eq!(client.answer().text(), "whole");
    }
}

#[test]
fn an_app_that_does_not_wait_for_the_body_is_left_alone() {
    let server = Running::new(LIMITED);
    let mut client = Client::new(server.address);
    client.post("/wait", 10);
    let_header_timeout_pass(server.address, 2);
    server.signals.go.open();
    assert_eq!(client.answer().text(), "waited");
}

#[test]
fn whoever_has_own_rules_for_a_body_lifts_the_limit() {
    let server = Running::new(LIMITED);
    let mut client = Client::new(server.address);
    client.post("/patient", 6);
    client.send("123");
    let_header_timeout_pass(server.address, 2);
    client.send("456");
    assert_eq!(client.answer().text(), "6");
}

/// Everything until the end, which may be a reset.
fn read_to_end(client: &mut Client) -> usize {
    let mut total = 0;
    let mut buf = vec![0; 1 << 20];
    while let Ok(count @ 1..) = client.stream.read(&mut buf) {
        total += count;
    }
    total
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut() {
    // However long an answer is meant to be.
    for path in ["/large", "/flood"] {
        let server = Running::new(Limits {
            max_connections: 1,
            ..LIMITED
        });
        let mut client = Client::new(server.address);
        let begin = Instant::now();
        client.ask(path);
        // It has its place as long as it is served.
        let mut next = Client::new(server.address);
        next.ask("/");
        assert_eq!(next.answer().text(), "hello", "{path}");
        let took = begin.elapsed();
        assert!(SHORT <= took && took < SOON, "{path}: {took:?}");
        let taken = read_to_end(&mut client);
        assert!(taken < LARGE, "{path}: {taken}");
    }
}

#[test]
fn an_answer_that_trickles_is_cut_unless_that_is_meant() {
    let server = Running::new(LIMITED);
    let mut trickle = Client::new(server.address);
    trickle.ask("/ticks");
    assert_eq!(trickle.answer().status, 200);
    let begin = Instant::now();
    trickle.rest();
    assert!(begin.elapsed() < SOON);

    let mut events = Client::new(server.address);
    events.ask("/events");
    assert_eq!(events.answer().status, 200);
    for _ in 0..3 {
        let_header_timeout_pass(server.address, 1);
        server.signals.go.open();
        let mut tick = [0; b"4\r\ntick\r\n".len()];
        events.stream.read_exact(&mut tick).unwrap();
        assert_eq!(&tick, b"4\r\ntick\r\n");
    }
}

#[test]
fn an_answer_that_is_out_has_no_timeout() {
    let server = Running::new(LIMITED);
    let mut client = Client::new(server.address);
    for path in ["/", "/wait", "/peer"] {
        client.ask(path);
        // Nor has one that is not there yet.
        let_header_timeout_pass(server.address, 2);
        server.signals.go.open();
        assert_eq!(client.answer().status, 200);
        let_header_timeout_pass(server.address, 2);
    }
}

#[test]
fn a_body_that_is_read_after_its_answer_is_not_cut() {
    let server = Running::new(Limits {
        read_timeout: LIMITS.read_timeout,
        ..LIMITED
    });
    let mut client = Client::new(server.address);
    client.post("/early", 6);
    assert_eq!(client.answer().text(), "early");
    client.send("123");
    let_header_timeout_pass(server.address, 2);
    client.send("456");
    let begin = Instant::now();
    while server.signals.late.load(Ordering::SeqCst) != 6 {
        assert!(begin.elapsed() < SOON, "the rest never came");
        std::thread::yield_now();
    }
}
