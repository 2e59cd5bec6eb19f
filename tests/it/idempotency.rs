//! Creates that are repeated: protocol section 1.1, `Idempotency-Key`.

use std::collections::HashSet;

use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data::{self, digest_sha256};
use steadfast_tests::http::{Request, Response, together};
use steadfast_tests::script::Script;
use steadfast_tests::server::Server;
use steadfast_tests::upload::{CHUNKED, Client, Session};

const KEY: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

fn keyed(client: Client, name: &str, size: usize, key: &str) -> Request {
    client
        .create_request(name, size)
        .header("Idempotency-Key", key)
}

fn id_of(response: Response) -> String {
    Session::from_answer(response.success().json()).id
}

#[test]
fn the_same_key_and_declaration_name_the_same_session() {
    let server = Server::start("");
    let client = server.client();
    let file = data::random(1, 2 * CHUNK);
    let request = keyed(client, "same.bin", file.len(), KEY);
    let session = client.open(&request);
    let _ = client.put_chunk(&session, &file, 0).status_is(200);
    for _ in 0..3 {
        let again = request.send(server.addr()).success();
        assert_eq!(
            again.text("location").unwrap(),
            format!("/upload/status?session_id={}", session.id)
        );
        assert_eq!(id_of(again), session.id);
    }
    assert_eq!(
        client.status(&session)["uploaded_bytes"],
        CHUNK,
        "what was sent is kept"
    );
    assert_eq!(
        client.put_chunk(&session, &file, 1).status_is(200).json()["completed"],
        true
    );
    assert_eq!(
        id_of(request.send(server.addr())),
        session.id,
        "also when it is done"
    );
    assert_eq!(std::fs::read_dir(server.uploads_dir()).unwrap().count(), 1);
}

#[test]
fn without_a_key_every_create_is_new() {
    let server = Server::start("");
    let ids: HashSet<String> = (0..5)
        .map(|_| server.client().create("new.bin", 10).id)
        .collect();
    assert_eq!(ids.len(), 5);
    let other = keyed(
        server.client(),
        "new.bin",
        10,
        "another key of enough bytes",
    );
    assert_ne!(
        id_of(keyed(server.client(), "new.bin", 10, KEY).send(server.addr())),
        id_of(other.send(server.addr()))
    );
}

#[test]
fn another_declaration_is_refused() {
    let server = Server::start("");
    let client = server.client();
    let request = keyed(client, "decl.bin", 1000, KEY);
    let id = id_of(request.send(server.addr()));
    let others = [
        request.clone().replace("X-Filename", "other.bin"),
        request.clone().replace("X-Total-Size", "1001"),
        request.clone().header("Repr-Digest", digest_sha256(b"x")),
        request.clone().header("X-Content-Type", "image/png"),
    ];
    for other in others {
        other
            .send(server.addr())
            .refused(422, "idempotency_mismatch");
    }
    assert_eq!(id_of(request.send(server.addr())), id);
}

#[test]
fn a_restart_forgets_no_key() {
    let mut server = Server::start("");
    let request = keyed(server.client(), "restart.bin", 10, KEY);
    let id = id_of(request.send(server.addr()));
    server.restart();
    assert_eq!(id_of(request.send(server.addr())), id);
    request
        .replace("X-Total-Size", "11")
        .send(server.addr())
        .refused(422, "idempotency_mismatch");
}

#[test]
fn keys_have_16_to_128_bytes() {
    let server = Server::start("");
    for length in [16, 128] {
        let _ = keyed(server.client(), "len.bin", 10, &"k".repeat(length))
            .send(server.addr())
            .status_is(201);
    }
    for length in [0, 1, 15, 129, 1000] {
        let response =
            keyed(server.client(), "len.bin", 10, &"k".repeat(length)).send(server.addr());
        assert_eq!(response.status, 400, "{length}");
        assert!(!response.code().is_empty());
    }
}

#[test]
fn many_creates_at_once_are_one() {
    let server = Server::start("");
    let request = keyed(server.client(), "at-once.bin", 10, KEY);
    let ids: HashSet<String> = together(20, |_| id_of(request.send(server.addr())))
        .into_iter()
        .collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn owners_do_not_share_keys() {
    let (one, two) = (
        "the secret of the first owner...",
        "the secret of the second owner..",
    );
    let keys = format!(
        "[[security.keys]]\nid = \"one\"\nsecret = \"{one}\"\n[[security.keys]]\nid = \"two\"\nsecret = \"{two}\"\n"
    );
    let server = Server::with(&Config::with(&keys).without("security", "secret"));
    let request = keyed(server.client(), "owner.bin", 10, KEY);
    let as_owner = |secret: &str| {
        id_of(
            request
                .clone()
                .replace("X-Signature", data::hmac_hex(secret, CHUNKED))
                .send(server.addr()),
        )
    };
    let ids = [as_owner(one), as_owner(two)];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids, [as_owner(one), as_owner(two)]);
}

#[test]
fn an_empty_file_is_delivered_once() {
    let app = App::start("", Script::storing());
    let request = keyed(app.client(), "empty.bin", 0, KEY);
    let first = request.send(app.addr()).success().json();
    assert_eq!(first["completed"], true);
    for _ in 0..3 {
        let again = request.send(app.addr()).success().json();
        assert_eq!(again["session_id"], first["session_id"]);
        assert_eq!(again["handler"], first["handler"]);
    }
    assert_eq!(app.script().count(), 1);
}

#[test]
fn many_empty_files_at_once_are_delivered_once() {
    let app = App::start("", Script::storing());
    let request = keyed(app.client(), "empty.bin", 0, KEY);
    let answers = together(10, |_| request.send(app.addr()).success().json());
    assert!(
        answers
            .iter()
            .all(|answer| answer["handler"] == answers[0]["handler"]),
        "{answers:?}"
    );
    assert_eq!(app.script().count(), 1);
}

#[test]
fn the_handler_is_called_once_however_often_the_client_asks() {
    let app = App::start("", Script::storing());
    let file = data::random(2, CHUNK + 1);
    let (session, last) = app.client().upload("once.bin", &file);
    let answer = last.status_is(200).json();
    let again = together(10, |index| {
        app.client()
            .put_chunk(&session, &file, index % 2)
            .status_is(200)
            .json()
    });
    assert!(
        again
            .iter()
            .all(|other| other["handler"] == answer["handler"])
    );
    let call = app.script().only_call();
    let key = call
        .header("idempotency-key")
        .expect("a key for the handler");
    assert_ne!(key, session.id);
    assert_eq!(key.len(), 22, "128 bits in base64url");
}
