//! Cancel: protocol section 1.4.

use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request};
use steadfast_tests::script::{Answer, Gate, Reply, Script};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::CHUNKED;
use steadfast_tests::wait::{self, SOON};

#[test]
fn ends_an_upload_and_frees_its_bytes() {
    let server = Server::start("");
    let file = data::random(1, 2 * CHUNK);
    let session = server.client().create("gone.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    let response = server.client().cancel(&session).status_is(204);
    assert!(response.body.is_empty());
    let status = server.client().status(&session);
    assert_eq!(status["state"], "cancelled");
    assert_eq!(status["completed"], false);
    wait::until("the bytes are gone", SOON, || {
        tree::files(&server.state_dir())
            .iter()
            .all(|(_, bytes)| !data::contains(bytes, &file[..512]))
    });
}

#[test]
fn may_be_repeated() {
    let server = Server::start("");
    let session = server.client().create("twice.bin", 10);
    for _ in 0..3 {
        let _ = server.client().cancel(&session).status_is(204);
    }
    assert_eq!(server.client().state(&session), "cancelled");
}

#[test]
fn refuses_chunks_afterwards() {
    let server = Server::start("");
    let file = data::random(2, CHUNK);
    let session = server.client().create("late.bin", file.len());
    let _ = server.client().cancel(&session).status_is(204);
    server
        .client()
        .put_chunk(&session, &file, 0)
        .refused(410, "cancelled");
    assert!(tree::list(&server.uploads_dir()).is_empty());
    assert_eq!(server.client().state(&session), "cancelled");
}

#[test]
fn stops_a_chunk_on_its_way() {
    let server = Server::start("");
    let file = data::random(3, CHUNK);
    let session = server.client().create("midway.bin", file.len());
    let mut connection = Connection::open(server.addr());
    connection.start(&server.client().chunk_request(&session, 0, &file));
    connection.write(&file[..CHUNK / 2]).unwrap();
    let _ = server.client().cancel(&session).status_is(204);
    let _ = connection.write(&file[CHUNK / 2..]);
    if let Ok(response) = connection.response("PUT") {
        assert!(response.status >= 400, "{}", response.status);
    }
    assert_eq!(server.client().state(&session), "cancelled");
    assert!(
        tree::list(&server.uploads_dir()).is_empty(),
        "a cancelled upload is not delivered"
    );
}

#[test]
fn comes_too_late_for_a_completed_upload() {
    let server = Server::start("");
    let (session, last) = server.client().upload("kept.bin", b"0123456789");
    let _ = last.status_is(200);
    server.client().cancel(&session).refused(409, "completed");
    assert_eq!(server.client().state(&session), "completed");
    assert_eq!(
        std::fs::read(server.uploads_dir().join("kept.bin")).unwrap(),
        b"0123456789"
    );
}

#[test]
fn waits_for_nobody_while_the_handler_works() {
    let gate = Gate::default();
    let reply = Reply::After(gate.clone(), Answer::text(201, "stored"));
    let app = App::start(
        "[delivery]\nfinalize_wait = \"100ms\"",
        Script::always(reply),
    );
    let (session, last) = app.client().upload("busy.bin", b"0123456789");
    let _ = last.status_is(202);
    app.client().cancel(&session).refused(409, "finishing");
    gate.open();
    let _ = app.client().until_state(&session, "completed");
    app.client().cancel(&session).refused(409, "completed");
    assert_eq!(app.script().count(), 1);
}

#[test]
fn names_the_session() {
    let server = Server::start("");
    let response = Request::new("DELETE", CHUNKED)
        .send(server.addr())
        .status_is(400);
    assert!(!response.code().is_empty());
}
