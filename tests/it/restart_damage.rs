//! Files that changed while the server was down: durability, "Rules".

use std::os::unix::fs::FileExt as _;

use serde_json::json;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

/// Sends one of two chunks, ends the server, lets `damage` at the file that holds the
/// bytes, and starts again.
fn damaged(
    seed: u64,
    suffix: &str,
    damage: impl FnOnce(&std::fs::File),
) -> (Server, Vec<u8>, Session) {
    let mut server = Server::start("");
    let file = data::random(seed, 2 * CHUNK);
    let session = server.client().create("damaged.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    server.kill9();
    let path = tree::largest(&server.state_dir(), suffix).expect("a file of that kind");
    let held = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    damage(&held);
    server.restart();
    (server, file, session)
}

#[test]
fn a_flipped_bit_is_asked_for_again() {
    let (server, file, session) = damaged(6, ".data", |held| {
        let mut byte = [0];
        held.read_exact_at(&mut byte, 1000).unwrap();
        held.write_all_at(&[byte[0] ^ 4], 1000).unwrap();
    });
    let client = server.client();
    let answer = client.put_chunk(&session, &file, 1);
    let done: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    assert_ne!(done["completed"], true, "wrong bytes are not delivered");
    let status = wait::eventually("the chunk is missing", SOON, || {
        let status = client.status(&session);
        (status["missing"] == json!([[0, 0]])).then_some(status)
    });
    assert_eq!(status["state"], "receiving");
    assert_eq!(status["uploaded_bytes"], CHUNK);
    assert!(tree::holding(&server.uploads_dir(), &file).is_empty());
    assert_eq!(
        client.put_chunk(&session, &file, 0).status_is(200).json()["completed"],
        true
    );
    assert!(std::fs::read(server.uploads_dir().join("damaged.bin")).unwrap() == file);
}

#[test]
fn lost_bytes_are_never_delivered() {
    let (server, file, session) = damaged(7, ".data", |held| held.set_len(0).unwrap());
    let client = server.client();
    for _ in 0..3 {
        for index in 0..2 {
            let response = client.put_chunk(&session, &file, index);
            assert!(
                [200, 400, 409, 410, 503].contains(&response.status),
                "{}",
                response.status
            );
        }
    }
    for (_, bytes) in tree::files(&server.uploads_dir()) {
        assert!(bytes == file, "whole or not at all");
    }
    let status = client.ask(&session.id);
    if status.status == 200 && status.json()["completed"] == true {
        assert_eq!(tree::holding(&server.uploads_dir(), &file).len(), 1);
    }
}

#[test]
fn a_torn_record_costs_only_itself() {
    let (server, file, session) = damaged(8, ".log", |held| {
        let end = held.metadata().unwrap().len();
        held.write_all_at(&[0x17, 0, 0, 0, 0xDE, 0xAD, 0xBE], end)
            .unwrap();
    });
    let client = server.client();
    assert_eq!(client.status(&session)["uploaded_bytes"], CHUNK);
    assert_eq!(
        client.put_chunk(&session, &file, 1).status_is(200).json()["completed"],
        true
    );
    assert!(std::fs::read(server.uploads_dir().join("damaged.bin")).unwrap() == file);
}

#[test]
fn a_destroyed_record_promises_nothing() {
    let (server, file, session) = damaged(9, ".log", |held| {
        let end = held.metadata().unwrap().len();
        held.write_all_at(&vec![0xFF; usize::try_from(end).unwrap()], 0)
            .unwrap();
    });
    for _ in 0..3 {
        server.client().ask(&session.id).refused(410, "state_lost");
        let put = server.client().put_chunk(&session, &file, 1);
        put.refused(410, "state_lost");
    }
    let lost = tree::list(&server.state_dir().join("lost"));
    assert_eq!(lost.len(), 1, "it is kept for whoever looks into it");
    let logs = server.logs();
    assert_eq!(logs.matches("the upload is lost").count(), 1, "{logs}");
    let _ = server.client().upload("other.bin", &file).1.status_is(200);
}
