//! What survives the death of the server: design section 6, durability.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::Connection;
use steadfast_tests::server::{END_LIMIT, Server};
use steadfast_tests::tree;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

#[test]
fn an_upload_goes_on_where_it_was_killed() {
    let mut server = Server::start("");
    let file = data::random(1, 4 * CHUNK + 1);
    let session = server.client().create("killed.bin", file.len());
    for index in [0, 3, 4, 1, 2] {
        let answer = server
            .client()
            .put_chunk(&session, &file, index)
            .status_is(200)
            .json();
        if answer["completed"] == true {
            break;
        }
        let before = server.client().status(&session);
        server.restart();
        let after = server.client().status(&session);
        for field in [
            "uploaded_bytes",
            "missing",
            "chunks",
            "chunk_size",
            "total_chunks",
            "filename",
            "state",
            "total_size",
        ] {
            assert_eq!(after[field], before[field], "{field}");
        }
    }
    assert!(std::fs::read(server.uploads_dir().join("killed.bin")).unwrap() == file);
}

#[test]
fn a_session_without_a_byte_is_kept() {
    let mut server = Server::start("");
    let session = server.client().create("fresh.bin", CHUNK);
    server.restart();
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
    assert_eq!(
        server
            .client()
            .put(&session, 0, &[1; CHUNK])
            .status_is(200)
            .json()["completed"],
        true
    );
}

#[test]
fn half_a_chunk_is_no_chunk() {
    let mut server = Server::start("");
    let file = data::random(2, 2 * CHUNK);
    let session = server.client().create("half.bin", file.len());
    let mut connection = Connection::open(server.addr());
    connection.start(&server.client().chunk_request(&session, 0, &file[..CHUNK]));
    connection.write(&[0xAA; CHUNK / 2]).unwrap();
    server.restart();
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
    assert_eq!(
        server
            .client()
            .put_all(&session, &file)
            .status_is(200)
            .json()["sha256"],
        data::sha256_hex(&file)
    );
}

#[test]
fn an_adopted_chunk_size_is_remembered() {
    let mut server = Server::start("");
    let mut session = server.client().create("adopted.bin", 5 * CHUNK);
    session.chunk_size = 2 * CHUNK;
    let _ = server
        .client()
        .put(&session, 0, &[1; 2 * CHUNK])
        .status_is(200);
    server.restart();
    let status = server.client().status(&session);
    assert_eq!(status["chunk_size"], 2 * CHUNK);
    assert_eq!(status["missing"], json!([[1, 2]]));
    assert_eq!(
        server
            .client()
            .put(&session, 0, &[1; 2 * CHUNK])
            .status_is(200)
            .json()["duplicate"],
        true
    );
}

#[test]
fn other_bytes_are_still_a_conflict() {
    let mut server = Server::start("");
    let session = server.client().create("conflict.bin", 2 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    server.restart();
    server
        .client()
        .put(&session, 0, &[2; CHUNK])
        .refused(409, "chunk_conflict");
    assert_eq!(
        server
            .client()
            .put(&session, 0, &[1; CHUNK])
            .status_is(200)
            .json()["duplicate"],
        true
    );
}

/// Chunks of the test below: many and small, so that a kill finds some on their way.
const SMALL: usize = 4 * 1024;

/// Sends what is missing over four connections at once until the server dies under them, and
/// notes what was acknowledged.
fn send_until_killed(
    server: &mut Server,
    session: &Session,
    file: &[u8],
    ledger: &Mutex<BTreeSet<usize>>,
    more: usize,
) {
    let known = ledger.lock().unwrap().clone();
    let todo: Vec<usize> = (0..session.total_chunks - 1)
        .filter(|index| !known.contains(index))
        .collect();
    let client = server.client();
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let lane: Vec<usize> = todo.iter().copied().skip(lane).step_by(4).collect();
            scope.spawn(move || {
                let Ok(mut connection) = Connection::try_open(client.addr()) else {
                    return;
                };
                for index in lane {
                    let request = client.chunk_request(session, index, session.chunk(file, index));
                    let Ok(response) = connection.exchange(&request) else {
                        return;
                    };
                    let _ = response.status_is(200);
                    ledger.lock().unwrap().insert(index);
                }
            });
        }
        wait::until("some are acknowledged", SOON, || {
            ledger.lock().unwrap().len() >= known.len() + more
        });
        server.kill9();
    });
}

#[test]
fn every_acknowledged_chunk_is_there_after_many_kills() {
    let mut server = Server::start("[uploads]\nchunk_size = \"4KB\"\nmin_chunk_size = \"4KB\"");
    let file = data::random(3, 4_000 * SMALL);
    let session = server.client().create("ledger.bin", file.len());
    let ledger = Mutex::new(BTreeSet::new());
    for round in 1..=10 {
        send_until_killed(&mut server, &session, &file, &ledger, 10 * round);
        server.restart();
        let missing = server.client().status(&session)["missing"].clone();
        let lost: Vec<_> = ledger
            .lock()
            .unwrap()
            .iter()
            .copied()
            .filter(|index| is_missing(&missing, *index))
            .collect();
        assert!(
            lost.is_empty(),
            "round {round}: acknowledged and lost: {lost:?}"
        );
    }
    assert!(
        ledger.lock().unwrap().len() < 3_999,
        "the kills came in the middle"
    );
    let mut connection = Connection::open(server.addr());
    for index in 0..session.total_chunks {
        let request = server
            .client()
            .chunk_request(&session, index, session.chunk(&file, index));
        let _ = connection.exchange(&request).unwrap().status_is(200);
    }
    assert_eq!(
        server.client().status(&session)["sha256"],
        data::sha256_hex(&file)
    );
    assert!(std::fs::read(server.uploads_dir().join("ledger.bin")).unwrap() == file);
}

fn is_missing(ranges: &serde_json::Value, index: usize) -> bool {
    ranges.as_array().expect("ranges").iter().any(|range| {
        let bound = |at: usize| usize::try_from(range[at].as_u64().unwrap()).unwrap();
        (bound(0)..=bound(1)).contains(&index)
    })
}

#[test]
fn an_orderly_end_loses_nothing() {
    let mut server = Server::start("");
    let file = data::random(4, 2 * CHUNK);
    let session = server.client().create("orderly.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    assert!(server.terminate().success());
    server.restart();
    assert_eq!(server.client().status(&session)["uploaded_bytes"], CHUNK);
    assert_eq!(
        server
            .client()
            .put_chunk(&session, &file, 1)
            .status_is(200)
            .json()["completed"],
        true
    );
}

#[test]
fn a_chunk_on_its_way_during_an_orderly_end_is_kept_or_not_acknowledged() {
    let mut server = Server::start("[timeouts]\nshutdown = \"10s\"");
    let session = server.client().create("leaving.bin", 2 * CHUNK);
    let mut connection = Connection::open(server.addr());
    connection.start(&server.client().chunk_request(&session, 0, &[1; CHUNK]));
    connection.write(&[1; CHUNK / 2]).unwrap();
    server.process().ask_to_end();
    let _ = connection.write(&[1; CHUNK / 2]);
    let acknowledged = connection
        .response("PUT")
        .is_ok_and(|response| response.status == 200);
    drop(connection);
    server.restart();
    let kept = server.client().status(&session)["uploaded_bytes"] == CHUNK;
    assert!(kept || !acknowledged);
}

#[test]
fn an_orderly_end_is_not_held_up_by_a_stalled_client() {
    let mut server = Server::start("[timeouts]\nshutdown = \"2s\"");
    let session = server.client().create("stalled.bin", CHUNK);
    let mut connection = Connection::open(server.addr());
    connection.start(&server.client().chunk_request(&session, 0, &[1; CHUNK]));
    connection.write(&[1; 10]).unwrap();
    let idle = Connection::open(server.addr());
    let (took, _) = steadfast_tests::http::timed(|| server.terminate());
    assert!(took < Duration::from_secs(12), "{took:?}");
    drop(idle);
    server.restart();
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
}

#[test]
fn answers_are_given_again_after_a_restart() {
    let mut server = Server::start("");
    let file = data::random(5, 2 * CHUNK);
    let (session, last) = server.client().upload("answered.bin", &file);
    let answer = last.status_is(200).json();
    server.restart();
    let status = server.client().status(&session);
    assert_eq!(status["state"], "completed");
    let again = server
        .client()
        .put_chunk(&session, &file, 1)
        .status_is(200)
        .json();
    for field in ["handler", "sha256", "size"] {
        assert_eq!(status[field], answer[field], "{field}");
        assert_eq!(again[field], answer[field], "{field}");
    }
    assert_eq!(again["completed"], true);
    assert_eq!(
        tree::list(&server.uploads_dir()).len(),
        1,
        "the handler is not called again"
    );
}

#[test]
fn cancelled_stays_cancelled() {
    let mut server = Server::start("");
    let session = server.client().create("cancelled.bin", 2 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    let _ = server.client().cancel(&session).status_is(204);
    server.restart();
    assert_eq!(server.client().state(&session), "cancelled");
    server
        .client()
        .put(&session, 1, &[1; CHUNK])
        .refused(410, "cancelled");
}

#[test]
fn sessions_in_memory_end_with_the_process() {
    for extra in [
        "[uploads]\nresumable_uploads_enabled = false",
        "[sessions]\nstore = \"memory\"",
    ] {
        let mut server = Server::start(extra);
        let file = data::random(10, 2 * CHUNK);
        let session = server.client().create("memory.bin", file.len());
        let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
        server.restart();
        server.client().ask(&session.id).refused(404, "no_session");
        assert_eq!(
            server
                .client()
                .upload("memory.bin", &file)
                .1
                .status_is(200)
                .json()["completed"],
            true
        );
    }
}

#[test]
fn bytes_that_belong_to_no_session_are_removed() {
    let mut server =
        Server::start("[sessions]\nstore = \"memory\"\n[uploads]\nmax_resumable_age = \"2s\"");
    let file = data::random(11, 2 * CHUNK);
    let session = server.client().create("orphan.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    server.restart();
    wait::until("what the dead process left is removed", SOON, || {
        tree::files(&server.state_dir())
            .iter()
            .all(|(_, bytes)| !data::contains(bytes, &file[..512]))
    });
}

#[test]
fn two_processes_never_share_a_directory() {
    let server = Server::start("[timeouts]\nshutdown = \"1s\"");
    let mut other = server.rival();
    let status = other.wait(END_LIMIT);
    assert!(!status.success());
    assert!(other.logs().contains("state_dir"), "{}", other.logs());
    let _ = server
        .client()
        .upload("mine.bin", b"0123456789")
        .1
        .status_is(200);
}

#[test]
fn a_new_process_waits_for_the_old_one() {
    let mut server = Server::start("[timeouts]\nshutdown = \"5s\"");
    let session = server.client().create("rolling.bin", 2 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    let mut next = server.rival();
    wait::until("it says that it waits", SOON, || {
        assert!(next.exited().is_none(), "{}", next.logs());
        !next.logs().is_empty()
    });
    let _ = server.client().status(&session);
    server.terminate();
    let addr = next.address(END_LIMIT).expect("the new one takes over");
    let client = steadfast_tests::upload::Client::new(addr);
    assert_eq!(client.status(&session)["uploaded_bytes"], CHUNK);
    assert_eq!(
        client.put(&session, 1, &[1; CHUNK]).status_is(200).json()["completed"],
        true
    );
}
