//! How many, and who.

use std::net::Shutdown;
use std::sync::atomic::Ordering;

use super::client::Client;
use super::server::{LIMITS, Running, SHORT};
use crate::serve::Limits;

#[test]
fn the_third_of_two_waits_until_one_ends() {
    let server = Running::new(Limits {
        max_connections: 2,
        ..LIMITS
    });
    let mut clients = [(); 3].map(|()| Client::new(server.address));
    for client in &mut clients[..2] {
        client.ask("/");
        assert_eq!(client.answer().text(), "hello");
    }
    clients[2].ask("/");
    assert!(clients[2].is_silent_for(SHORT));
    assert_eq!(server.signals.requests.load(Ordering::SeqCst), 2);
    clients[0].stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(clients[2].answer().text(), "hello");
    // The second has kept its place all the time.
    clients[1].ask("/");
    assert_eq!(clients[1].answer().text(), "hello");
}

#[test]
fn a_broken_connection_frees_its_place() {
    let server = Running::new(Limits {
        max_connections: 1,
        ..LIMITS
    });
    for opening in [
        "",
        "G",
        "POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n123",
    ] {
        let mut client = Client::new(server.address);
        client.send(opening);
        drop(client);
        let mut next = Client::new(server.address);
        next.ask("/");
        assert_eq!(next.answer().text(), "hello", "after {opening:?}");
    }
}

#[test]
fn garbage_is_refused_and_the_server_goes_on() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    client.send("\u{1}\u{2}\u{3} nonsense\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    client.closed();
    let mut client = Client::new(server.address);
    client.ask("/");
    assert_eq!(client.answer().text(), "hello");
}

#[test]
fn the_app_knows_who_asks() {
    let server = Running::new(LIMITS);
    let mut client = Client::new(server.address);
    client.ask("/peer");
    let own = client.stream.local_addr().unwrap();
    assert_eq!(client.answer().text(), own.to_string());
}
