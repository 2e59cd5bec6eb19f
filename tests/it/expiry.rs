//! Sessions, results and bodies that take too long: protocol section 1, config `[uploads]`.

use std::time::{Duration, Instant};

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::Connection;
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::Session;
use steadfast_tests::wait;

/// Sweeps may be rare; nothing here is in a hurry.
const SWEPT: Duration = Duration::from_secs(90);

fn until_gone(server: &Server, session: &Session) {
    wait::until("the session is gone", SWEPT, || {
        let response = server.client().ask(&session.id);
        if response.status == 404 {
            assert_eq!(response.code(), "no_session");
        }
        response.status == 404
    });
}

#[test]
fn an_abandoned_upload_ends_and_frees_its_bytes() {
    let server = Server::start("[uploads]\nmax_resumable_age = \"2s\"");
    let file = data::random(1, 2 * CHUNK);
    let session = server.client().create("old.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    until_gone(&server, &session);
    let late = server.client().put_chunk(&session, &file, 1);
    assert!([404, 410].contains(&late.status), "{}", late.status);
    wait::until("its bytes are gone", SWEPT, || {
        tree::files(&server.state_dir())
            .iter()
            .all(|(_, bytes)| !data::contains(bytes, &file[..512]))
    });
    let begin = Instant::now();
    let _ = server.client().upload("new.bin", &file).1.status_is(200);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "the server goes on"
    );
}

#[test]
fn activity_keeps_an_upload_alive() {
    let server = Server::start("[uploads]\nmax_resumable_age = \"4s\"");
    let file = data::random(2, 30 * CHUNK);
    let session = server.client().create("slow.bin", file.len());
    let begin = Instant::now();
    let mut index = 0;
    while begin.elapsed() < Duration::from_secs(9) {
        let sent = index.min(28);
        let _ = server
            .client()
            .put_chunk(&session, &file, sent)
            .status_is(200);
        index += 1;
        let next = begin + Duration::from_millis(400) * u32::try_from(index).unwrap();
        wait::until("the next chunk is due", SWEPT, || Instant::now() >= next);
    }
    for index in 0..30 {
        let _ = server
            .client()
            .put_chunk(&session, &file, index)
            .status_is(200);
    }
    assert_eq!(server.client().state(&session), "completed");
}

#[test]
fn a_session_without_a_first_byte_ends_soon() {
    let server = Server::start("[uploads]\nfirst_byte_timeout = \"1s\"");
    let silent = server.client().create("silent.bin", 2 * CHUNK);
    let used = server.client().create("used.bin", 2 * CHUNK);
    let _ = server.client().put(&used, 0, &[1; CHUNK]).status_is(200);
    until_gone(&server, &silent);
    assert_eq!(server.client().status(&used)["uploaded_bytes"], CHUNK);
}

#[test]
fn results_are_forgotten_in_time() {
    let server = Server::start("[uploads]\nresult_retention = \"2s\"");
    let (session, last) = server.client().upload("result.bin", b"0123456789");
    let _ = last.status_is(200);
    let cancelled = server.client().create("cancelled.bin", 10);
    let _ = server.client().cancel(&cancelled).status_is(204);
    until_gone(&server, &session);
    until_gone(&server, &cancelled);
    assert_eq!(
        std::fs::read(server.uploads_dir().join("result.bin")).unwrap(),
        b"0123456789"
    );
}

#[test]
fn what_expired_while_the_server_was_down_is_gone() {
    let mut server = Server::start("[uploads]\nmax_resumable_age = \"1s\"");
    let session = server.client().create("down.bin", 2 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    let sent = Instant::now();
    server.kill9();
    wait::until("its time is over", SWEPT, || {
        sent.elapsed() > Duration::from_millis(1500)
    });
    server.restart();
    until_gone(&server, &session);
}

#[test]
fn a_silent_body_is_given_up() {
    let server = Server::start("[uploads]\nstall_timeout = \"1s\"");
    let file = data::random(3, CHUNK);
    let session = server.client().create("silent.bin", file.len());
    let mut connection = Connection::open(server.addr());
    connection.start(&server.client().chunk_request(&session, 0, &file));
    connection.write(&file[..CHUNK / 2]).unwrap();
    connection
        .response("PUT")
        .expect("an answer")
        .refused(408, "too_slow");
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
    assert_eq!(
        server
            .client()
            .put(&session, 0, &file)
            .status_is(200)
            .json()["completed"],
        true
    );
}

#[test]
fn an_unfinished_head_is_given_up() {
    let server = Server::start("[timeouts]\nheader_timeout = \"1s\"");
    let mut connection = Connection::open(server.addr());
    connection
        .write(b"PUT /upload/chunked HTTP/1.1\r\nHost: localhost\r\nX-Chunk-")
        .unwrap();
    let answer = connection.response("PUT");
    assert!(answer.is_err() || answer.is_ok_and(|response| response.status == 408));
    let _ = server.client().create("next.bin", 10);
}

#[test]
fn an_idle_connection_is_given_up() {
    let server = Server::start("[timeouts]\nidletimeout = \"1s\"");
    let mut connection = Connection::open(server.addr());
    let _ = connection
        .exchange(&server.client().create_request("idle.bin", 10))
        .unwrap()
        .status_is(201);
    assert!(connection.closed(Duration::from_secs(20)));
}
