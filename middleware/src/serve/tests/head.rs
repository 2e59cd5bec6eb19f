//! Heads that take too long or are too large, and connections that idle.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{Client, let_header_timeout_pass};
use super::server::{LARGE, LIMITS, LONG, Running, SHORT};
use crate::serve::Limits;

const SLOW_HEADS: Limits = Limits {
    header_timeout: SHORT,
    ..LIMITS
};
/// A timeout other than the one under test would take this long at least.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_client_that_says_nothing_is_closed() {
    let server = Running::new(SLOW_HEADS);
    let begin = Instant::now();
    Client::new(server.address).closed();
    let took = begin.elapsed();
    assert!(SHORT <= took && took < SOON, "{took:?}");
}

#[test]
fn a_head_that_dribbles_in_is_answered_408() {
    let server = Running::new(SLOW_HEADS);
    let begin = Instant::now();
    let mut client = Client::new(server.address);
    client.dribble(&[b'G'; 1000], 1, SHORT / 10);
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    assert!(answer.head.contains("connection: close\r\n"));
    client.closed();
    let took = begin.elapsed();
    assert!(SHORT <= took && took < SOON, "{took:?}");
    assert_eq!(server.signals.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn half_a_head_is_answered_408() {
    let server = Running::new(SLOW_HEADS);
    for opening in ["G", "P", "PRI * HT", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut client = Client::new(server.address);
        client.send(opening);
        // As long as HTTP/2 is possible nobody can say what language an answer must have.
        if "PRI * HTTP/2.0".starts_with(opening) {
            client.closed();
        } else {
            assert_eq!(client.answer().status, 408, "{opening}");
            client.closed();
        }
    }
}

#[test]
fn a_head_that_does_not_name_one_host_is_answered_400() {
    let server = Running::new(LIMITS);
    for hosts in [
        "",
        "host: a\r\nhost: a\r\n",
        "host: a, b\r\n",
        "host: a/b\r\n",
        "host: user@a\r\n",
    ] {
        let mut client = Client::new(server.address);
        client.send(format!("GET / HTTP/1.1\r\n{hosts}\r\nGET / HTTP/1.1"));
        assert_eq!(client.answer().status, 400, "{hosts}");
        client.closed();
    }
    for head in [
        "GET / HTTP/1.0\r\n",
        "GET / HTTP/1.1\r\nhost:\r\n",
        "GET / HTTP/1.1\r\nhost: [::1]:80\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: b\r\n",
    ] {
        let mut client = Client::new(server.address);
        client.send(format!("{head}\r\n"));
        assert_eq!(client.answer().text(), "hello", "{head}");
    }
}

#[test]
fn a_late_client_that_does_not_leave_is_closed() {
    let server = Running::new(Limits {
        linger: LONG,
        max_connections: 1,
        ..SLOW_HEADS
    });
    let begin = Instant::now();
    let mut late = Client::new(server.address);
    late.send("GET / HTTP/1.1\r\n");
    assert_eq!(late.answer().status, 408);
    let mut next = Client::new(server.address);
    next.ask("/");
    assert_eq!(next.answer().text(), "hello");
    assert!(begin.elapsed() < SOON);
}

#[test]
fn a_later_head_has_its_own_time() {
    let server = Running::new(SLOW_HEADS);
    let mut client = Client::new(server.address);
    client.ask("/");
    assert_eq!(client.answer().text(), "hello");
    let_header_timeout_pass(server.address, 2);
    let begin = Instant::now();
    client.dribble(
        b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaa",
        1,
        SHORT / 10,
    );
    assert_eq!(client.answer().status, 408);
    let took = begin.elapsed();
    assert!(SHORT <= took && took < SOON, "{took:?}");
}

#[test]
fn a_slow_body_and_a_slow_handler_have_no_timeout() {
    let limits = Limits {
        header_timeout: SHORT,
        idle_timeout: SHORT,
        ..LIMITS
    };
    let server = Running::new(limits);
    let mut upload = Client::new(server.address);
    let mut download = Client::new(server.address);
    upload.post("/count", 30);
    download.ask("/wait");
    for _ in 0..3 {
        upload.send([7; 10]);
        let_header_timeout_pass(server.address, 1);
    }
    server.signals.go.open();
    assert_eq!(upload.answer().text(), "30");
    assert_eq!(download.answer().text(), "waited");
}

#[test]
fn a_client_that_reads_slowly_has_no_timeout() {
    let server = Running::new(Limits {
        header_timeout: SHORT,
        idle_timeout: SHORT,
        ..LIMITS
    });
    let mut client = Client::new(server.address);
    // A body the app ignores. hyper finds its end after the answer has begun, and then waits for
    // the next head while the answer is still being sent.
    client.send("POST /large HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("5\r\n12345\r\n0\r\n\r\n");
    let_header_timeout_pass(server.address, 3);
    assert_eq!(client.answer().body.len(), LARGE);
    client.closed();
}

#[test]
fn an_idle_connection_is_closed_silently_by_its_own_timeout() {
    let server = Running::new(Limits {
        idle_timeout: SHORT,
        ..LIMITS
    });
    let mut client = Client::new(server.address);
    let mut begin = Instant::now();
    for _ in 0..3 {
        begin = Instant::now();
        client.ask("/");
        assert_eq!(client.answer().text(), "hello");
    }
    client.closed();
    let took = begin.elapsed();
    assert!(SHORT <= took && took < SOON, "{took:?}");
}

#[test]
fn the_header_timeout_leaves_idle_connections_alone() {
    let server = Running::new(SLOW_HEADS);
    let mut client = Client::new(server.address);
    for path in ["/", "/count", "/"] {
        // In one piece: where a body is ignored, hyper keeps the connection only if it is all there.
        client.send(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12345"
        ));
        assert_eq!(client.answer().status, 200);
        let_header_timeout_pass(server.address, 2);
    }
}

#[test]
fn the_rest_of_a_refused_body_is_not_taken_for_a_head() {
    let server = Running::new(SLOW_HEADS);
    let mut client = Client::new(server.address);
    client.post("/refuse", 5);
    client.send("12345");
    assert_eq!(client.answer().status, 401);
    let_header_timeout_pass(server.address, 2);
    // hyper has read the few bytes, so the connection may live on; it must not have been a 408.
    let rest = if client.is_silent_for(SHORT) {
        Vec::new()
    } else {
        client.rest()
    };
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn a_large_head_is_answered_431() {
    let server = Running::new(LIMITS);
    let largest = LIMITS.max_header_size as usize;
    for (size, status) in [
        (largest, 200),
        (largest + 1, 431),
        (3 * largest, 431),
        (8 << 20, 431),
    ] {
        let mut client = Client::new(server.address);
        let line = "GET / HTTP/1.1\r\nhost: a\r\nx: ";
        let padding = "x".repeat(size - line.len() - 4);
        client.send(format!("{line}{padding}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{size}");
        if status != 200 {
            assert!(answer.head.contains("connection: close\r\n"));
            client.closed();
        }
    }
}

#[test]
fn a_large_second_head_is_answered_431() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    let large = "x".repeat(4 << 20);
    client.send(format!(
        "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nx: {large}\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 431);
    client.closed();
}

#[test]
fn the_head_limit_does_not_count_bodies() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    let body = vec![b'x'; 5 << 20];
    let head = format!(
        "POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // Head and body in one write, and two requests in a row.
    let mut request = head.into_bytes();
    request.extend_from_slice(&body);
    let twice = [request.clone(), request].concat();
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &twice));
    for _ in 0..2 {
        assert_eq!(client.answer().text(), body.len().to_string());
    }
    writing.join().unwrap().unwrap();
}

#[test]
fn pipelined_requests_are_all_answered() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(500));
    for _ in 0..500 {
        assert_eq!(client.answer().text(), "hello");
    }
}

#[test]
fn the_longest_timeouts_do_not_overflow() {
    let limits = Limits {
        header_timeout: Duration::MAX,
        read_timeout: Duration::MAX,
        write_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        shutdown: Duration::MAX,
        linger: Duration::MAX,
        max_connections: usize::MAX,
        max_header_size: u64::MAX,
    };
    let server = Running::new(limits);
    let mut client = Client::new(server.address);
    for _ in 0..2 {
        client.ask("/");
        assert_eq!(client.answer().text(), "hello");
    }
    assert!(server.stop().end().is_complete());
    assert!(client.closed() < LONG);
}
