//! What somebody can do with a signature that was meant for another request: nothing.

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Request, Response};
use steadfast_tests::message::{self, Signing, now};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, Session};

use crate::message::{ALL, chunk_request, create_request, created, status_request};

/// The signature of `signed`, with another request.
fn stolen(signed: &Request, request: Request) -> Request {
    let of = |name: &str| signed.value_of(name).unwrap();
    request
        .header("Signature-Input", of("Signature-Input"))
        .header("Signature", of("Signature"))
}

fn assert_of_no_use(answer: Response) {
    let _ = answer.refused(401, "signature_invalid");
}

fn signed_create() -> Request {
    Signing::default().sign(create_request("mine.bin", CHUNK), message::CREATE)
}

fn signed_chunk(session: &Session, index: usize, bytes: &[u8]) -> Request {
    Signing::default().sign(chunk_request(session, index, bytes), message::CHUNK)
}

#[test]
fn not_after_its_window() {
    let server = Server::start(ALL);
    let late = Signing::at(now() - 400).sign(create_request("mine.bin", CHUNK), message::CREATE);
    let _ = late.send(server.addr()).refused(401, "signature_expired");
}

#[test]
fn not_a_second_time() {
    let server = Server::start(ALL);
    let create = signed_create();
    let _ = create.send(server.addr()).status_is(201);
    let _ = create
        .send(server.addr())
        .refused(401, "signature_replayed");
    // The same nonce, signed anew, is the same.
    let signing = Signing::default();
    let first = signing.sign(create_request("one.bin", 1), message::CREATE);
    let _ = first.send(server.addr()).status_is(201);
    let second = signing.sign(create_request("two.bin", 1), message::CREATE);
    let _ = second
        .send(server.addr())
        .refused(401, "signature_replayed");
}

#[test]
fn not_on_another_path_or_method() {
    let server = Server::start(&format!("{ALL}\nprotect = [\"/upload\", \"{CHUNKED}/\"]"));
    let signed = signed_create();
    for target in ["/upload", &format!("{CHUNKED}/")] {
        let request = stolen(&signed, create_request("mine.bin", CHUNK).target(target));
        assert_of_no_use(request.send(server.addr()));
    }
    let session = created(&server, CHUNK);
    let status = Signing::default().sign(status_request(&session), message::STATUS);
    let events =
        status_request(&session).target(&status.path_and_query().replace("status", "events"));
    assert_of_no_use(stolen(&status, events).send(server.addr()));
    let head = stolen(&status, status_request(&session).method("HEAD"));
    assert_eq!(head.send(server.addr()).status, 401);
}

#[test]
fn not_for_another_server_that_knows_its_name() {
    let server = Server::start(ALL);
    let elsewhere = Signing::default().sign(create_request("mine.bin", CHUNK), message::CREATE);
    let mut head = String::from_utf8(elsewhere.head()).unwrap();
    head = head.replace("Host: localhost", "Host: localhost:81");
    let mut connection = steadfast_tests::http::Connection::open(server.addr());
    connection.write(head.as_bytes()).unwrap();
    assert_of_no_use(connection.response("POST").unwrap());
}

#[test]
fn not_for_another_session() {
    let server = Server::start(ALL);
    let (mine, other) = (created(&server, CHUNK), created(&server, CHUNK));
    let bytes = data::random(1, CHUNK);
    let signed = signed_chunk(&mine, 0, &bytes);
    assert_of_no_use(stolen(&signed, chunk_request(&other, 0, &bytes)).send(server.addr()));
    let status = Signing::default().sign(status_request(&mine), message::STATUS);
    assert_of_no_use(stolen(&status, status_request(&other)).send(server.addr()));
    let cancel = |session: &Session| {
        Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", &session.id)
    };
    let covered = ["@method", "@authority", "@path", "x-upload-session-id"];
    let signed = Signing::default().sign(cancel(&mine), &covered);
    assert_of_no_use(stolen(&signed, cancel(&other)).send(server.addr()));
    // A query names another one than the header that is covered.
    let by_header = Request::new("GET", "/upload/status").header("X-Upload-Session-ID", &mine.id);
    let by_header = Signing::default().sign(by_header, &covered);
    let both = by_header.target(status_request(&other).path_and_query());
    let _ = both
        .send(server.addr())
        .refused(401, "signature_incomplete");
}

#[test]
fn not_for_another_chunk() {
    let server = Server::start(ALL);
    let session = created(&server, 2 * CHUNK);
    let bytes = data::random(2, CHUNK);
    let signed = signed_chunk(&session, 0, &bytes);
    assert_of_no_use(stolen(&signed, chunk_request(&session, 1, &bytes)).send(server.addr()));
}

#[test]
fn not_for_another_size_or_name() {
    let server = Server::start(ALL);
    let signed = signed_create();
    for request in [
        create_request("mine.bin", CHUNK + 1),
        create_request("yours.bin", CHUNK),
    ] {
        assert_of_no_use(stolen(&signed, request).send(server.addr()));
    }
    // A digest that nobody signed would make the upload fail at its end.
    let request =
        create_request("mine.bin", CHUNK).header("Repr-Digest", data::digest_sha256(b"x"));
    let refusal = stolen(&signed, request).send(server.addr());
    let _ = refusal.refused(401, "signature_incomplete");
}

#[test]
fn not_for_another_body() {
    let server = Server::start(ALL);
    let session = created(&server, CHUNK);
    let (bytes, other) = (data::random(3, CHUNK), data::random(4, CHUNK));
    let signed = signed_chunk(&session, 0, &bytes);
    // Its own digest is not what was signed, and what was signed is not its digest.
    assert_of_no_use(stolen(&signed, chunk_request(&session, 0, &other)).send(server.addr()));
    let refusal = signed.body(other.clone()).send(server.addr());
    let _ = refusal.refused(400, "digest_mismatch");
    let honest = signed_chunk(&session, 0, &bytes);
    let _ = honest.send(server.addr()).status_is(200);
    assert!(tree::holding(&server.uploads_dir(), &other).is_empty());
    assert_eq!(tree::holding(&server.uploads_dir(), &bytes).len(), 1);
}
