//! Servers that share their sessions: chunks find the server with the bytes, creates the session
//! that is there already.

use std::collections::HashSet;

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request, Response, together};
use steadfast_tests::script::Script;
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{Client, Session};
use steadfast_tests::wait::{self, SOON};

use crate::fleet::{self, Fleet};

/// The client of the server that a refusal names.
pub(crate) fn named_in(refusal: &Response) -> Client {
    let url = refusal.text("x-upload-server").expect("a server is named");
    let addr = url.strip_prefix("http://").expect("its URL");
    Client::new(addr.parse().expect("its address"))
}

#[test]
fn a_chunk_is_sent_on_to_the_server_with_the_bytes() {
    let test = "a_chunk_is_sent_on_to_the_server_with_the_bytes";
    let Some(fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    let file = data::random(1, 3 * CHUNK);
    let session = fleet.client(1).create("sent-on.bin", file.len());
    for index in 0..3 {
        let refusal = fleet
            .client(2 * (index % 2))
            .put_chunk(&session, &file, index);
        let refusal = refusal.refused(421, "wrong_server");
        let own = named_in(&refusal);
        assert_eq!(own.addr(), fleet.servers[1].addr());
        let detail = refusal.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("node-2"), "{detail}");
        assert!(detail.contains(&own.addr().to_string()), "{detail}");
        let _ = own.put_chunk(&session, &file, index).status_is(200);
    }
    assert_eq!(fleet.status(&session)["state"], "completed");
    assert_eq!(
        tree::holding(&fleet.servers[1].uploads_dir(), &file).len(),
        1
    );
    // What is held already, and what has ended, is there as well.
    let refusal = fleet.client(0).put_chunk(&session, &file, 0);
    let _ = refusal.refused(421, "wrong_server");
}

#[test]
fn who_expects_to_continue_is_told_at_once() {
    let Some(fleet) = Fleet::start("who_expects_to_continue_is_told_at_once", 2, "") else {
        return;
    };
    let file = data::random(2, CHUNK);
    let session = fleet.client(0).create("expects.bin", file.len());
    let request = fleet.client(1).chunk_request(&session, 0, &file);
    let mut connection = Connection::open(fleet.servers[1].addr());
    let head = request.header("Expect", "100-continue").head();
    connection.write(&head).unwrap();
    let answer = connection.response("PUT").unwrap();
    let answer = answer.refused(421, "wrong_server");
    assert!(answer.interim.is_empty(), "{:?}", answer.interim);
}

#[test]
fn a_server_without_an_address_is_named() {
    let Some(redis) = fleet::redis("a_server_without_an_address_is_named", &[]) else {
        return;
    };
    let app = fleet::app(&redis, "", Script::storing());
    let other = Server::with(&fleet::config(&redis.url(), "other", ""));
    let session = app.client().create("named.bin", 10);
    let refusal = other.client().put(&session, 0, b"0123456789");
    let refusal = refusal.refused(421, "wrong_server");
    assert_eq!(refusal.text("x-upload-server"), None);
    assert!(refusal.json()["detail"].as_str().unwrap().contains(" app "));
}

#[test]
fn what_nobody_knows_is_unknown_everywhere() {
    let Some(fleet) = Fleet::start("what_nobody_knows_is_unknown_everywhere", 2, "") else {
        return;
    };
    let known = fleet.client(0).create("known.bin", CHUNK);
    let random = known.id.strip_prefix("node-1.").unwrap();
    let ids = [
        // The name is a part of the id.
        random.to_owned(),
        format!("node-2.{random}"),
        format!("node-1.{}{random}", &random[..1])[..known.id.len()].to_owned(),
        format!("nobody.{random}"),
        format!("{}x", known.id),
        "node-1".to_owned(),
    ];
    for client in fleet.clients() {
        for id in &ids {
            let session = Session {
                id: id.clone(),
                ..known.clone()
            };
            let status = client.ask(id);
            let _ = status.refused(404, "no_session");
            let chunk = client.put(&session, 0, &[7; CHUNK]);
            let _ = chunk.refused(404, "no_session");
            let _ = client.cancel(&session).refused(404, "no_session");
        }
    }
    assert_eq!(fleet.status(&known)["uploaded_bytes"], 0);
}

#[test]
fn an_expired_upload_is_unknown_everywhere() {
    let test = "an_expired_upload_is_unknown_everywhere";
    let Some(fleet) = Fleet::start(test, 2, "[uploads]\nfirst_byte_timeout = \"1s\"") else {
        return;
    };
    let session = fleet.client(0).create("expired.bin", CHUNK);
    for client in fleet.clients() {
        wait::until("it is unknown", SOON, || {
            client.ask(&session.id).status == 404
        });
        let _ = client.cancel(&session).refused(404, "no_session");
    }
    let chunk = |server: usize| fleet.client(server).put(&session, 0, &[7; CHUNK]);
    // Until its own server has removed it, chunks are sent there: it knows best.
    let elsewhere = chunk(1);
    assert!([404, 421].contains(&elsewhere.status), "{elsewhere:?}");
    let _ = chunk(0).refused(404, "no_session");
}

fn keyed(client: Client, name: &str, size: usize, key: &str) -> Request {
    let request = client.create_request(name, size);
    request.header("Idempotency-Key", key)
}

fn id_of(answer: Response) -> String {
    Session::from_answer(answer.success().json()).id
}

#[test]
fn a_create_repeated_at_another_server_is_the_same_upload() {
    let test = "a_create_repeated_at_another_server_is_the_same_upload";
    let Some(mut fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    let file = data::random(3, 2 * CHUNK);
    let request = keyed(
        fleet.client(0),
        "again.bin",
        file.len(),
        "the key of one create",
    );
    let session = fleet.client(0).open(&request);
    let _ = fleet.client(0).put_chunk(&session, &file, 1).status_is(200);
    let repeat = |client: Client| id_of(request.send(client.addr()));
    for client in fleet.clients() {
        assert_eq!(repeat(client), session.id);
        let other = keyed(client, "other.bin", file.len(), "the key of one create");
        let _ = other
            .send(client.addr())
            .refused(422, "idempotency_mismatch");
    }
    assert_eq!(fleet.status(&session)["uploaded_bytes"], CHUNK);
    fleet.servers[0].kill9();
    assert_eq!(repeat(fleet.client(2)), session.id, "also when it is down");
    fleet.servers[0].restart();
    let _ = fleet.client(0).put_chunk(&session, &file, 0).status_is(200);
    assert_eq!(repeat(fleet.client(1)), session.id, "also when it is done");
    // What was given up stays what the key names, as with one server.
    let gone = keyed(fleet.client(0), "gone.bin", 10, "the key of another one");
    let session = fleet.client(0).open(&gone);
    let _ = fleet.client(1).cancel(&session).status_is(204);
    let again = [0, 2].map(|n| id_of(gone.send(fleet.servers[n].addr())));
    assert_eq!(again[0], again[1]);
}

#[test]
fn a_create_sent_to_all_servers_at_once_is_one_upload() {
    let test = "a_create_sent_to_all_servers_at_once_is_one_upload";
    let Some(fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    for round in 0..20 {
        let key = format!("a key of round {round:02}");
        let answers = together(6, |n| {
            let client = fleet.client(n % 3);
            id_of(keyed(client, "race.bin", CHUNK, &key).send(client.addr()))
        });
        let ids: HashSet<_> = answers.iter().collect();
        assert_eq!(ids.len(), 1, "round {round}: {answers:?}");
    }
}

#[test]
fn an_empty_file_is_handed_over_once_wherever_it_is_created_again() {
    let test = "an_empty_file_is_handed_over_once";
    let Some(fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let create = |n: usize| {
        let client = fleet.client(n);
        let request = keyed(client, "empty.bin", 0, "the key of nothing");
        request.send(client.addr()).success().json()
    };
    let first = create(0);
    assert_eq!(first["completed"], true);
    let again = create(1);
    assert_eq!(again["session_id"], first["session_id"]);
    assert_eq!(again["handler"], first["handler"]);
    assert_eq!(tree::list(&fleet.servers[0].uploads_dir()).len(), 1);
    assert!(tree::list(&fleet.servers[1].uploads_dir()).is_empty());
}
