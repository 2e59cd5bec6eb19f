//! The end of a server.

use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::client::Client;
use super::server::{LIMITS, LONG, Running, SHORT};
use crate::serve::Limits;

/// A client whose request is known to have reached the app.
fn client_in(server: &Running, path: &str) -> Client {
    let before = server.signals.requests.load(Ordering::SeqCst);
    let mut client = Client::new(server.address);
    client.ask(path);
    while server.signals.requests.load(Ordering::SeqCst) == before {
        std::thread::yield_now();
    }
    client
}

#[test]
fn idle_connections_close_at_once_and_running_requests_finish() {
    let server = Running::new(Limits {
        linger: LONG,
        ..LIMITS
    });
    let mut idle = Client::new(server.address);
    idle.ask("/");
    assert_eq!(idle.answer().text(), "hello");
    let mut running = client_in(&server, "/wait");
    let silent = Client::new(server.address);
    let (address, signals) = (server.address, std::sync::Arc::clone(&server.signals));

    let stopping = server.stop();
    idle.closed();
    // The port is free as soon as connections are told.
    TcpStream::connect(address).unwrap_err();
    signals.go.open();
    let answer = running.answer();
    assert_eq!(answer.text(), "waited");
    assert!(
        answer.head.contains("connection: close\r\n"),
        "{}",
        answer.head
    );
    running.closed();
    drop(running);
    let begin = Instant::now();
    assert!(stopping.end().is_complete());
    assert!(begin.elapsed() < LONG / 3, "waited for an idle client");
    drop((idle, silent));
}

#[test]
fn an_upload_under_way_finishes() {
    let server = Running::new(LIMITS);
    let before = server.signals.requests.load(Ordering::SeqCst);
    let mut client = Client::new(server.address);
    client.post("/count", 6);
    while server.signals.requests.load(Ordering::SeqCst) == before {
        std::thread::yield_now();
    }
    let mut idle = Client::new(server.address);
    idle.ask("/");
    assert_eq!(idle.answer().text(), "hello");
    let stopping = server.stop();
    // Whoever sees this knows that the order is out.
    idle.closed();
    client.send("123456");
    assert_eq!(client.answer().text(), "6");
    client.closed();
    drop(client);
    assert!(stopping.end().is_complete());
}

#[test]
fn what_is_left_is_cut() {
    let server = Running::new(Limits {
        shutdown: SHORT,
        ..LIMITS
    });
    let mut clients = [(); 2].map(|()| client_in(&server, "/never"));
    let signals = std::sync::Arc::clone(&server.signals);
    let begin = Instant::now();
    let drained = server.stop().end();
    let took = begin.elapsed();
    assert_eq!((drained.cut, drained.drain_finished), (2, true));
    assert!(!drained.is_complete());
    assert!(SHORT <= took && took < Duration::from_secs(20), "{took:?}");
    assert!(
        signals.dropped.load(Ordering::SeqCst),
        "the handler outlived the server"
    );
    for client in &mut clients {
        client.closed();
    }
}

#[test]
fn the_drain_is_awaited() {
    let (finish, finished) = oneshot::channel();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let server = Running::draining(LIMITS, async move {
        begun.send(()).unwrap();
        finished.await.unwrap();
    });
    let mut client = Client::new(server.address);
    client.ask("/");
    assert_eq!(client.answer().text(), "hello");
    has_begun.try_recv().unwrap_err();
    let stopping = server.stop();
    has_begun.recv().unwrap();
    client.closed();
    finish.send(()).unwrap();
    assert!(stopping.end().is_complete());
}

#[test]
fn the_drain_is_bounded() {
    let server = Running::draining(
        Limits {
            shutdown: SHORT,
            ..LIMITS
        },
        std::future::pending(),
    );
    let drained = server.stop().end();
    assert_eq!((drained.cut, drained.drain_finished), (0, false));
    assert!(!drained.is_complete());
}

#[test]
fn dropping_the_server_ends_its_connections() {
    let server = Running::new(LIMITS);
    let mut client = client_in(&server, "/never");
    server.abort();
    client.closed();
}
