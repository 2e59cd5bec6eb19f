//! A server that dies while the handler works, or before it was asked again.

use steadfast_tests::app::App;
use steadfast_tests::child::{self, ChildApp};
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::Connection;
use steadfast_tests::script::{Answer, Reply, Script};
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

/// Not a test of its own: what [`ChildApp`] runs.
#[test]
fn serve_when_asked() {
    child::serve_if_asked();
}

const CHILD: &str = "restart_handoff::serve_when_asked";

/// Lets the handler begin and kills the process under it.
fn killed_in_the_middle(on_unknown: &str, then: &str) -> (ChildApp, Session, Vec<u8>) {
    let config = Config::with(&format!(
        "[delivery]\nform = \"raw\"\non_unknown = \"{on_unknown}\""
    ));
    let mut app = ChildApp::start(CHILD, config, "hang");
    let file = data::random(1, CHUNK + 10);
    let session = app.client().create("killed.bin", file.len());
    let _ = app.client().put_chunk(&session, &file, 0).status_is(200);
    let mut connection = Connection::open(app.client().addr());
    let request = app
        .client()
        .chunk_request(&session, 1, session.chunk(&file, 1));
    connection
        .write(&[request.head(), request.framed_body()].concat())
        .unwrap();
    wait::until("the handler is called", SOON, || app.calls().len() == 1);
    app.restart(then);
    (app, session, file)
}

#[test]
fn held_when_told_so() {
    let (app, session, file) = killed_in_the_middle("hold", "201");
    let status = app.client().until_state(&session, "unknown");
    assert_eq!(status["completed"], false);
    for index in [0, 1] {
        app.client()
            .put_chunk(&session, &file, index)
            .refused(409, "handoff_unknown");
    }
    assert_eq!(app.calls().len(), 1, "not called again");
}

#[test]
fn delivered_again_under_the_same_key_without_a_client() {
    let (app, session, file) = killed_in_the_middle("retry", "201");
    wait::until("the handler is called again", SOON, || {
        app.calls().len() >= 2
    });
    let status = app.client().until_state(&session, "completed");
    assert_eq!(status["handler"]["body"], "from the child");
    let calls = app.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1], "the same key and the same bytes");
    assert_eq!(calls[0].1, data::sha256_hex(&file));
    let answer = app
        .client()
        .put_chunk(&session, &file, 1)
        .status_is(200)
        .json();
    assert_eq!(answer["completed"], true);
}

#[test]
fn an_answer_that_was_given_is_final() {
    let mut app = ChildApp::start(CHILD, Config::default(), "201");
    let file = data::random(2, CHUNK + 10);
    let (session, last) = app.client().upload("final.bin", &file);
    let first = last.status_is(200).json();
    for _ in 0..3 {
        app.restart("500");
        let status = app.client().status(&session);
        assert_eq!(status["state"], "completed");
        assert_eq!(status["handler"], first["handler"]);
        let again = app
            .client()
            .put_chunk(&session, &file, 0)
            .status_is(200)
            .json();
        assert_eq!(again["handler"], first["handler"]);
    }
    assert_eq!(app.calls().len(), 1);
}

#[test]
fn a_rejection_is_final_too() {
    let mut app = ChildApp::start(CHILD, Config::default(), "422");
    let (session, last) = app.client().upload("no.bin", b"0123456789");
    let _ = last.status_is(422);
    app.restart("201");
    assert_eq!(app.client().state(&session), "rejected");
    let again = app.client().put(&session, 0, b"0123456789").status_is(422);
    assert_eq!(again.body, b"from the child");
    assert_eq!(again.text("x-upload-state").as_deref(), Some("rejected"));
    assert_eq!(app.calls().len(), 1);
}

#[test]
fn what_was_undelivered_is_delivered_by_the_next_process() {
    let mut app = ChildApp::start(CHILD, Config::default(), "503");
    let (session, last) = app.client().upload("later.bin", b"0123456789");
    assert_eq!(last.text("x-upload-state").as_deref(), Some("undelivered"));
    app.restart("201");
    let status = app.client().until_state(&session, "completed");
    assert_eq!(status["handler"]["status"], 201);
    let keys: std::collections::HashSet<_> = app.calls().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_receiving_upload_is_finished_by_the_next_process() {
    let mut app = App::start("", Script::always(Reply::Hang));
    let file = data::random(3, 3 * CHUNK);
    let session = app.client().create("moved.bin", file.len());
    let _ = app.client().put_chunk(&session, &file, 1).status_is(200);
    app.restart(Script::storing());
    let _ = app.client().put_chunk(&session, &file, 2).status_is(200);
    assert_eq!(app.script().count(), 0);
    assert_eq!(
        app.client()
            .put_chunk(&session, &file, 0)
            .status_is(200)
            .json()["sha256"],
        data::sha256_hex(&file)
    );
    assert_eq!(app.script().count(), 1);
}

#[test]
fn a_changed_delivery_path_mends_what_waits() {
    let answer = |call: &steadfast_tests::script::Call| match call.uri.path() {
        "/right" => Answer::text(201, "found").into(),
        _ => Answer::text(404, "nothing here").into(),
    };
    let mut app = App::start("[delivery]\npath = \"/wrong\"", Script::new(answer));
    let (session, last) = app.client().upload("path.bin", b"0123456789");
    assert_eq!(last.status, 404);
    app.reconfigure("[delivery]\npath = \"/right\"");
    app.restart(Script::new(answer));
    let status = app.client().until_state(&session, "completed");
    assert_eq!(status["handler"]["body"], "found");
}
