//! Whose upload it is: another owner's is none.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use steadfast::upload::Owner;
use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::message::{self, Signing};
use steadfast_tests::script::Script;
use steadfast_tests::server::Server;
use steadfast_tests::upload::{CHUNKED, Session};

use crate::message::{chunk_request, create_request, status_request};

const MINE: (&str, &str) = ("mine", "the first secret of the ring....");
const YOURS: (&str, &str) = ("yours", "the second secret of the ring...");

fn config() -> Config {
    let keys: String = [MINE, YOURS]
        .map(|(id, secret)| format!("[[security.keys]]\nid = \"{id}\"\nsecret = \"{secret}\"\n"))
        .concat();
    let keys = format!("[security]\nschemes = [\"message\"]\nsign_chunks = true\n{keys}");
    Config::default().without("security", "secret").and(&keys)
}

fn signed(request: Request, components: &[&str], (id, secret): (&str, &str)) -> Request {
    Signing::by(id, secret).sign(request, components)
}

const BY_HEADER: &[&str] = &["@method", "@authority", "@path", "x-upload-session-id"];

/// Every request about an upload, by a key.
fn requests(session: &Session, file: &[u8], key: (&str, &str)) -> [Request; 4] {
    let cancel = Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", &session.id);
    let events = Request::new("GET", "/upload/events").header("X-Upload-Session-ID", &session.id);
    [
        signed(chunk_request(session, 0, file), message::CHUNK, key),
        signed(status_request(session), message::STATUS, key),
        signed(events, BY_HEADER, key),
        signed(cancel, BY_HEADER, key),
    ]
}

#[test]
fn an_upload_is_for_the_key_that_began_it() {
    let server = Server::with(&config());
    let file = data::random(1, CHUNK);
    let create = signed(create_request("mine.bin", CHUNK), message::CREATE, MINE);
    let session = Session::from_answer(create.send(server.addr()).status_is(201).json());
    for request in requests(&session, &file, YOURS) {
        let _ = request.send(server.addr()).refused(404, "no_session");
    }
    let [chunk, status, ..] = requests(&session, &file, MINE);
    let status = status.send(server.addr()).status_is(200).json();
    assert_eq!(
        (&status["uploaded_bytes"], &status["state"]),
        (&0.into(), &"receiving".into())
    );
    let _ = chunk.send(server.addr()).status_is(200);
    // Nor is it when it is done, or when the server has begun anew.
    for request in requests(&session, &file, YOURS) {
        let _ = request.send(server.addr()).refused(404, "no_session");
    }
}

#[test]
fn it_stays_so_over_a_restart() {
    let mut server = Server::with(&config());
    let file = data::random(2, CHUNK);
    let create = signed(create_request("mine.bin", CHUNK), message::CREATE, MINE);
    let session = Session::from_answer(create.send(server.addr()).status_is(201).json());
    server.restart();
    for request in requests(&session, &file, YOURS) {
        let _ = request.send(server.addr()).refused(404, "no_session");
    }
    let [chunk, ..] = requests(&session, &file, MINE);
    let _ = chunk.send(server.addr()).status_is(200);
}

/// The app knows who it is, by a header of its own.
#[test]
fn an_app_says_whose_upload_it_is() {
    let owner = |parts: &http::request::Parts| {
        let user = parts
            .headers
            .get("x-user")
            .and_then(|user| user.to_str().ok());
        user.map(|user| Owner(user.to_owned())).ok_or_else(|| {
            let mut refusal = Response::new(Bytes::from_static(b"who are you?"));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            refusal
        })
    };
    let owner = Arc::new(owner);
    let config = Config::with("[security]\nenabled = false\nprotect = []");
    let app = App::hooked(config, Script::storing(), move |layer| {
        let (creates, accesses) = (Arc::clone(&owner), Arc::clone(&owner));
        layer
            .on_create(move |parts, _| creates(parts))
            .on_access(move |parts| accesses(parts))
    });
    let file = data::random(3, CHUNK);
    let by = |request: Request, user: &str| request.header("X-User", user).send(app.addr());
    let session = by(create_request("mine.bin", CHUNK), "u-1").status_is(201);
    let session = Session::from_answer(session.json());
    let cancel = Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", &session.id);
    for request in [
        chunk_request(&session, 0, &file),
        status_request(&session),
        cancel,
    ] {
        let _ = by(request.clone(), "u-2").refused(404, "no_session");
        let nobody = request.send(app.addr());
        assert_eq!(
            (nobody.status, &nobody.body[..]),
            (403, &b"who are you?"[..])
        );
    }
    let _ = by(status_request(&session), "u-1").status_is(200);
    let _ = by(chunk_request(&session, 0, &file), "u-1").status_is(200);
    assert_eq!(app.script().calls().len(), 1);
}
