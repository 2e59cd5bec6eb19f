//! Verdicts before the body is used: protocol section 0.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request, Response, timed};
use steadfast_tests::script::Script;
use steadfast_tests::server::Server;
use steadfast_tests::upload::CHUNKED;

/// Far below the time in which a server would give up waiting for a body.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A request with a body of `length` bytes, and the verdict its head deserves.
fn refusals(server: &Server, length: usize) -> Vec<(&'static str, Request, u16, &'static str)> {
    let client = server.client();
    let body = vec![1; length];
    let open = client.create("open.bin", 100 * CHUNK);
    let cancelled = client.create("cancelled.bin", 100 * CHUNK);
    let _ = client.cancel(&cancelled).status_is(204);
    let unknown = Request::new("PUT", CHUNKED).header("X-Upload-Session-ID", "A".repeat(43));
    let chunk = |number: &str| {
        let head = Request::new("PUT", CHUNKED).header("X-Upload-Session-ID", &open.id);
        head.header("X-Chunk-Number", number).body(body.clone())
    };
    let create = client.create_request("body.bin", 10);
    vec![
        (
            "unknown session",
            unknown.header("X-Chunk-Number", "0").body(body.clone()),
            404,
            "no_session",
        ),
        ("wrong length", chunk("1"), 400, "chunk_length"),
        ("wrong range", chunk("100"), 400, "chunk_range"),
        ("wrong number", chunk("01"), 400, "bad_number"),
        (
            "repeated header",
            chunk("0").header("X-Chunk-Number", "0"),
            400,
            "duplicate_header",
        ),
        (
            "cancelled",
            client.chunk_request(&cancelled, 0, &body),
            410,
            "cancelled",
        ),
        (
            "unsigned create",
            create.clone().without("X-Signature").body(body.clone()),
            401,
            "signature_missing",
        ),
        (
            "create with a body",
            create.body(body.clone()),
            400,
            "unexpected_body",
        ),
        (
            "unsigned request to the app",
            Request::new("POST", "/upload").body(body.clone()),
            401,
            "signature_missing",
        ),
        (
            "bad digest",
            chunk("0").header("Content-Digest", "sha-256=:AAAA:"),
            400,
            "bad_digest",
        ),
    ]
}

#[test]
fn come_at_once_to_a_client_that_waits() {
    let server = Server::start("");
    for (what, request, status, code) in refusals(&server, 5 << 20) {
        let mut connection = Connection::open(server.addr());
        connection
            .write(&request.header("Expect", "100-continue").head())
            .unwrap();
        let (took, response) = timed(|| connection.response("PUT").expect("an answer"));
        assert_eq!(
            (response.status, response.code().as_str()),
            (status, code),
            "{what}"
        );
        assert_eq!(response.interim, [0_u16; 0], "{what}: no 100");
        assert!(took < AT_ONCE, "{what}: {took:?}");
    }
}

/// Sends a request the way careless clients do: everything is written before anything is
/// read, and a failing write is the end.
fn write_first(addr: SocketAddr, request: &Request) -> Response {
    let mut connection = Connection::open(addr);
    connection
        .write(&[request.head(), request.framed_body()].concat())
        .expect("the whole body is taken");
    connection
        .response("PUT")
        .expect("an answer after the body")
}

#[test]
fn reach_a_client_that_writes_first() {
    let server = Server::start("");
    for (what, request, status, code) in refusals(&server, 5 << 20) {
        for round in 0..20 {
            let response = write_first(server.addr(), &request);
            assert_eq!(
                (response.status, response.code().as_str()),
                (status, code),
                "{what}, round {round}"
            );
        }
    }
}

#[test]
fn reach_a_client_behind_any_accept_loop() {
    let app = App::start("", Script::storing());
    let unknown = Request::new("PUT", CHUNKED).header("X-Upload-Session-ID", "A".repeat(43));
    let unknown = unknown.header("X-Chunk-Number", "0").body(vec![1; 5 << 20]);
    let unsigned = Request::new("POST", "/upload").body(vec![1; 5 << 20]);
    for _ in 0..20 {
        write_first(app.addr(), &unknown).refused(404, "no_session");
        write_first(app.addr(), &unsigned).refused(401, "signature_missing");
    }
    assert_eq!(app.script().count(), 0);
}

#[test]
fn reach_a_client_that_sends_far_more() {
    let server = Server::start("");
    for round in 0..5 {
        let body = vec![1; 40 << 20];
        let head = Request::new("PUT", CHUNKED).header("X-Upload-Session-ID", "A".repeat(43));
        let request = head
            .header("X-Chunk-Number", "0")
            .header("Content-Length", body.len().to_string());
        let mut connection = Connection::open(server.addr());
        connection.write(&request.head()).unwrap();
        let mut writer = connection.writer();
        let sending = std::thread::spawn(move || {
            let _ = writer.write_all(&body);
        });
        let response = connection
            .response("PUT")
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        response.refused(404, "no_session");
        drop(connection);
        sending.join().unwrap();
    }
}

#[test]
fn do_not_keep_a_good_client_waiting() {
    let server = Server::start("");
    let file = data::random(1, CHUNK);
    let session = server.client().create("expect.bin", file.len());
    let request = server.client().chunk_request(&session, 0, &file);
    let mut connection = Connection::open(server.addr());
    connection.start(&request);
    connection.write(&file).unwrap();
    assert_eq!(
        connection.response("PUT").unwrap().status_is(200).json()["completed"],
        true
    );
}

#[test]
fn leave_the_server_able_to_serve_others() {
    let server = Server::start("");
    let request = Request::new("PUT", CHUNKED).header("X-Upload-Session-ID", "A".repeat(43));
    let request = request.header("X-Chunk-Number", "0").body(vec![1; 5 << 20]);
    let mut silent = Vec::new();
    for _ in 0..50 {
        let mut connection = Connection::open(server.addr());
        connection.write(&request.head()).unwrap();
        silent.push(connection);
    }
    let (took, _) = timed(|| {
        server
            .client()
            .upload("others.bin", &data::random(2, CHUNK))
            .1
            .status_is(200)
    });
    assert!(took < AT_ONCE, "{took:?}");
}
