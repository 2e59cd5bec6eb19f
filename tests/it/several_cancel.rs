//! Servers that share their sessions: an upload is cancelled through any of them.

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, together};
use steadfast_tests::script::{Answer, Gate, Reply, Script};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::wait::{self, SOON};

use crate::fleet::{self, Fleet};

/// Whether a server still has bytes of a file.
fn has_bytes(server: &Server, file: &[u8]) -> bool {
    let files = tree::files(&server.state_dir());
    files
        .iter()
        .any(|(_, bytes)| data::contains(bytes, &file[..512]))
}

#[test]
fn through_another_server() {
    let Some(fleet) = Fleet::start("several_cancel::through_another_server", 3, "") else {
        return;
    };
    let file = data::random(1, 2 * CHUNK);
    let session = fleet.client(0).create("gone.bin", file.len());
    let _ = fleet.client(0).put_chunk(&session, &file, 0).status_is(200);
    assert!(has_bytes(&fleet.servers[0], &file));
    let answer = fleet.client(1).cancel(&session).status_is(204);
    assert!(answer.body.is_empty());
    assert!(!has_bytes(&fleet.servers[0], &file));
    let status = fleet.status(&session);
    assert_eq!(status["state"], "cancelled");
    assert_eq!(status["completed"], false);
    for client in fleet.clients() {
        let _ = client.cancel(&session).status_is(204);
    }
    let late = fleet.client(0).put_chunk(&session, &file, 0);
    let _ = late.refused(410, "cancelled");
}

#[test]
fn through_all_servers_at_once() {
    let Some(fleet) = Fleet::start("through_all_servers_at_once", 3, "") else {
        return;
    };
    let clients = fleet.clients();
    for _ in 0..5 {
        let session = clients[0].create("gone.bin", CHUNK);
        for answer in together(6, |n| clients[n % 3].cancel(&session)) {
            let _ = answer.status_is(204);
        }
        assert_eq!(fleet.status(&session)["state"], "cancelled");
    }
}

#[test]
fn while_a_chunk_is_on_its_way() {
    let Some(fleet) = Fleet::start("while_a_chunk_is_on_its_way", 2, "") else {
        return;
    };
    let file = data::random(2, CHUNK);
    let session = fleet.client(0).create("midway.bin", file.len());
    let mut connection = Connection::open(fleet.servers[0].addr());
    connection.start(&fleet.client(0).chunk_request(&session, 0, &file));
    connection.write(&file[..CHUNK / 2]).unwrap();
    let _ = fleet.client(1).cancel(&session).status_is(204);
    let _ = connection.write(&file[CHUNK / 2..]);
    if let Ok(response) = connection.response("PUT") {
        assert!(response.status >= 400, "{}", response.status);
    }
    assert_eq!(fleet.status(&session)["state"], "cancelled");
    assert!(tree::list(&fleet.servers[0].uploads_dir()).is_empty());
}

#[test]
fn too_late_through_another_server() {
    let Some(redis) = fleet::redis("too_late_through_another_server", &[]) else {
        return;
    };
    let gate = Gate::default();
    let reply = Reply::After(gate.clone(), Answer::text(201, "stored"));
    let extra = "[delivery]\nfinalize_wait = \"100ms\"";
    let app = fleet::app(&redis, extra, Script::always(reply));
    let other = Server::with(&fleet::config(&redis.url(), "other", ""));
    let (session, last) = app.client().upload("busy.bin", b"0123456789");
    let _ = last.status_is(202);
    let answer = other.client().cancel(&session);
    let answer = answer.refused(409, "finishing");
    assert!(answer.text("retry-after").is_some());
    gate.open();
    let _ = app.client().until_state(&session, "completed");
    let _ = other.client().cancel(&session).refused(409, "completed");
    assert_eq!(other.client().state(&session), "completed");
    assert_eq!(app.script().count(), 1);
}

#[test]
fn while_its_server_is_down() {
    let Some(mut fleet) = Fleet::start("while_its_server_is_down", 2, "") else {
        return;
    };
    let file = data::random(3, 2 * CHUNK);
    let session = fleet.client(0).create("wanted.bin", file.len());
    let _ = fleet.client(0).put_chunk(&session, &file, 1).status_is(200);
    fleet.servers[0].kill9();
    for _ in 0..2 {
        let answer = fleet.client(1).cancel(&session).refused(503, "busy");
        assert!(answer.text("retry-after").is_some());
    }
    assert_eq!(fleet.client(1).state(&session), "receiving");
    fleet.servers[0].restart();
    // The wish is not forgotten: nobody has to ask again.
    let _ = fleet.client(1).until_state(&session, "cancelled");
    assert_eq!(fleet.client(0).state(&session), "cancelled");
    wait::until("the bytes are gone", SOON, || {
        !has_bytes(&fleet.servers[0], &file)
    });
    let _ = fleet.client(1).cancel(&session).status_is(204);
}
