//! Where requests come from, and who is let in for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use steadfast_tests::http::{Connection, Request, Response};
use steadfast_tests::nginx::Nginx;
use steadfast_tests::server::Server;
use steadfast_tests::wait::{self, SOON};

use crate::machine;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const DENIED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

fn send(from: Ipv4Addr, to: SocketAddr, request: &Request) -> Response {
    let mut connection = Connection::open_from(IpAddr::V4(from), to);
    connection.exchange(request).unwrap()
}

fn create(server: &Server) -> Request {
    server.client().create_request("a.bin", 10)
}

fn old_way() -> Request {
    Request::new("POST", "/upload").body("unsigned")
}

#[test]
fn who_is_denied_is_refused_before_anything_is_looked_at() {
    let server = Server::start("[security]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.3\"]");
    let session = server.client().create("a.bin", 10);
    for request in [
        create(&server),
        create(&server).without("X-Signature"),
        create(&server).without("X-Filename"),
        server.client().status_request(&session.id),
        server.client().chunk_request(&session, 0, b"0123456789"),
        old_way(),
    ] {
        let answer = send(DENIED, server.addr(), &request);
        answer.refused(403, "forbidden_address");
        let answer = send(OTHER, server.addr(), &request);
        assert_ne!(answer.status, 403, "{request:?}");
    }
    for path in ["/health", "/health/ready", "/files"] {
        let answer = send(DENIED, server.addr(), &Request::new("GET", path));
        assert_eq!(answer.status, 200, "{path}: the app's own");
    }
    let mut connection = Connection::open_from(DENIED.into(), server.addr());
    let answer = connection.offer(&create(&server)).expect("no 100");
    answer.refused(403, "forbidden_address");
}

#[test]
fn addresses_count_without_signatures_too() {
    let server = Server::start("[security]\nenabled = false\nallow = [\"127.0.0.2\"]");
    for request in [create(&server), old_way()] {
        let answer = send(HERE, server.addr(), &request);
        answer.refused(403, "forbidden_address");
        assert_ne!(send(OTHER, server.addr(), &request).status, 403);
    }
}

#[test]
fn a_new_list_acts_at_once() {
    let server = Server::start("");
    let status = |from| send(from, server.addr(), &create(&server)).status;
    assert_eq!(status(OTHER), 201);
    let put = |text: &str| std::fs::write(server.config_file(), server.config_with(text)).unwrap();
    put("[security]\ndeny = [\"127.0.0.2/31\"]");
    wait::until("it is denied", SOON, || status(OTHER) == 403);
    assert_eq!(status(HERE), 201);
    put("[security]\nallow = [\"127.0.0.2\"]");
    wait::until("it alone is allowed", SOON, || status(HERE) == 403);
    assert_eq!(status(OTHER), 201);
    put("");
    wait::until("all are", SOON, || status(HERE) == 201);
}

#[test]
fn only_a_trusted_proxy_says_who_the_client_is() {
    let server = Server::start(
        "[server]\ntrusted_proxies = [\"127.0.0.2\"]\n[security]\nallow = [\"192.0.2.0/24\"]",
    );
    // (header, its value, the answer to the trusted proxy)
    for (name, value, status) in [
        ("X-Forwarded-For", "192.0.2.1", 201),
        ("X-Forwarded-For", "192.0.2.1, 203.0.113.9", 403),
        ("X-Forwarded-For", "203.0.113.9, 192.0.2.1", 201),
        ("X-Forwarded-For", "127.0.0.2", 403),
        ("Forwarded", "for=\"192.0.2.1:4711\";proto=https", 201),
        ("Forwarded", "for=203.0.113.9", 403),
        ("Forwarded", "for=unknown", 403),
        ("Forwarded", "for=\"192.0.2.1", 403),
    ] {
        let request = create(&server).header(name, value);
        let answer = send(OTHER, server.addr(), &request);
        assert_eq!(answer.status, status, "{name}: {value}");
        let answer = send(HERE, server.addr(), &request);
        answer.refused(403, "forbidden_address");
    }
    let both = create(&server)
        .header("Forwarded", "for=192.0.2.1")
        .header("X-Forwarded-For", "203.0.113.9");
    let answer = send(OTHER, server.addr(), &both);
    answer.refused(403, "forbidden_address");
    let told = server.logs();
    assert_eq!(
        told.matches("does not tell the address").count(),
        1,
        "{told}"
    );
}

#[test]
fn behind_nginx_clients_are_told_apart_by_their_own_addresses() {
    const NAME: &str = "behind_nginx_clients_are_told_apart_by_their_own_addresses";
    if !machine::has_program(NAME, "nginx") {
        return;
    }
    let server = Server::start(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[security]\ndeny = [\"127.0.0.3\"]\n\
         [limits]\nrequests_per_second = 1\nburst = 4",
    );
    let nginx = Nginx::round_robin(&[server.addr()]);
    // Whatever a client says of itself.
    for (name, value) in [
        ("X-None", ""),
        ("X-Forwarded-For", "127.0.0.2"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.2"),
        ("Forwarded", "for=\"127.0.0.2"),
    ] {
        let request = create(&server).header(name, value);
        let answer = send(DENIED, nginx.addr(), &request);
        answer.refused(403, "forbidden_address");
    }
    let spoofed = create(&server)
        .header("Forwarded", "for=127.0.0.3")
        .header("X-Forwarded-For", "127.0.0.3");
    let _ = send(OTHER, nginx.addr(), &spoofed).status_is(201);
    wait::until("it has used up its requests", SOON, || {
        send(OTHER, nginx.addr(), &create(&server)).status == 429
    });
    let _ = send(HERE, nginx.addr(), &create(&server)).status_is(201);
}
