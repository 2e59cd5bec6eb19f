//! Requests that meet: design section 3, invariants 3 and 6.

use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, together};
use steadfast_tests::script::Script;
use steadfast_tests::server::Server;
use steadfast_tests::tree;

#[test]
fn two_last_chunks_a_hundred_times() {
    let app = App::start("", Script::storing());
    for round in 0..100 {
        let file = data::random(round, CHUNK + 1000);
        let session = app
            .client()
            .create(&format!("race-{round}.bin"), file.len());
        let answers = together(2, |index| {
            app.client()
                .put_chunk(&session, &file, index)
                .status_is(200)
                .json()
        });
        let completed: Vec<_> = answers
            .iter()
            .filter(|answer| answer["completed"] == true)
            .collect();
        assert!(!completed.is_empty(), "round {round}: {answers:?}");
        for answer in completed {
            assert_eq!(answer["sha256"], data::sha256_hex(&file));
            assert_eq!(
                answer["handler"]["body"],
                format!("stored #{round}"),
                "everyone gets the one answer"
            );
        }
        assert_eq!(
            app.script().count(),
            usize::try_from(round).unwrap() + 1,
            "delivered once"
        );
    }
}

#[test]
fn twelve_last_chunks_reach_the_disk_once() {
    let server = Server::start("");
    for round in 0..10 {
        let file = data::random(100 + round, 12 * CHUNK);
        let session = server.client().create("wide.bin", file.len());
        let _ = together(12, |index| {
            server
                .client()
                .put_chunk(&session, &file, index)
                .status_is(200)
        });
        assert_eq!(server.client().state(&session), "completed");
        assert_eq!(
            tree::holding(&server.uploads_dir(), &file).len(),
            1,
            "round {round}"
        );
    }
}

#[test]
fn a_new_connection_takes_over_from_a_stalled_one() {
    let server = Server::start("");
    let client = server.client();
    for round in 0..10 {
        let file = data::random(200 + round, 2 * CHUNK);
        let session = client.create(&format!("switch-{round}.bin"), file.len());
        let request = client.chunk_request(&session, 0, session.chunk(&file, 0));
        let mut old = Connection::open(server.addr());
        old.start(&request);
        // Different bytes, so that anything written late would show.
        old.write(&[0xAA; CHUNK / 2]).unwrap();
        let answer = client.put_chunk(&session, &file, 0).status_is(200).json();
        assert_eq!(answer["duplicate"], false);
        assert_eq!(answer["uploaded_bytes"], CHUNK);
        drop(old);
        assert_eq!(
            client.put_chunk(&session, &file, 1).status_is(200).json()["completed"],
            true
        );
        let stored =
            std::fs::read(server.uploads_dir().join(format!("switch-{round}.bin"))).unwrap();
        assert!(stored == file, "round {round}");
    }
}

#[test]
fn the_old_connection_is_told_that_it_lost() {
    let server = Server::start("");
    let client = server.client();
    let file = data::random(2, 2 * CHUNK);
    let session = client.create("told.bin", file.len());
    let request = client.chunk_request(&session, 0, session.chunk(&file, 0));
    let mut old = Connection::open(server.addr());
    old.start(&request);
    old.write(&file[..CHUNK / 2]).unwrap();
    let _ = client.put_chunk(&session, &file, 0).status_is(200);
    // Half of it may fail: the answer is already there.
    let _ = old.write(&file[CHUNK / 2..CHUNK]);
    let response = old
        .response("PUT")
        .expect("the loser reads its answer")
        .refused(409, "superseded");
    assert_eq!(response.text("retry-after").as_deref(), Some("1"));
    assert_eq!(client.status(&session)["uploaded_bytes"], CHUNK);
}

#[test]
fn the_newest_of_many_wins() {
    let server = Server::start("");
    let client = server.client();
    let file = data::random(3, 2 * CHUNK);
    let session = client.create("chain.bin", file.len());
    let request = client.chunk_request(&session, 0, session.chunk(&file, 0));
    let mut losers = Vec::new();
    for round in 0..8 {
        let mut connection = Connection::open(server.addr());
        connection.start(&request);
        connection.write(&vec![round; CHUNK / 4]).unwrap();
        losers.push(connection);
    }
    let _ = client.put_chunk(&session, &file, 0).status_is(200);
    for mut loser in losers {
        loser
            .response("PUT")
            .expect("an answer")
            .refused(409, "superseded");
    }
    assert_eq!(
        client.put_chunk(&session, &file, 1).status_is(200).json()["sha256"],
        data::sha256_hex(&file)
    );
}

#[test]
fn one_chunk_ten_times_at_once_counts_once() {
    let server = Server::start("");
    let client = server.client();
    for round in 0..10 {
        let file = data::random(300 + round, 2 * CHUNK);
        let session = client.create(&format!("ten-{round}.bin"), file.len());
        let answers = together(10, |_| client.put_chunk(&session, &file, 0));
        let mut kept = 0;
        for answer in answers {
            if answer.status == 409 {
                assert_eq!(answer.code(), "superseded");
                continue;
            }
            let answer = answer.status_is(200).json();
            assert_eq!(answer["uploaded_bytes"], CHUNK);
            assert!(answer["progress"].as_f64().unwrap() <= 1.0);
            kept += usize::from(answer["duplicate"] == false);
        }
        assert_eq!(kept, 1, "one of them is the first");
        assert_eq!(client.status(&session)["uploaded_bytes"], CHUNK);
        let last = client.put_chunk(&session, &file, 1).status_is(200).json();
        assert_eq!(last["sha256"], data::sha256_hex(&file));
    }
}

#[test]
fn rivals_with_different_bytes_do_not_mix() {
    let app = App::start("[delivery]\nform = \"raw\"", Script::storing());
    let client = app.client();
    for round in 0..60 {
        let rivals: Vec<_> = (0..6_u8).map(|rival| vec![rival + 1; 4 * CHUNK]).collect();
        let request = client.create_request(&format!("rivals-{round}.bin"), 4 * CHUNK);
        let session = client.open(&request.header("X-Chunk-Size", (4 * CHUNK).to_string()));
        let answers = together(6, |index| client.put(&session, 0, &rivals[index]));
        let mut winner = None;
        for (index, answer) in answers.into_iter().enumerate() {
            if answer.status == 200 {
                assert_eq!(winner.replace(index), None, "one of them wins");
                assert_eq!(answer.json()["sha256"], data::sha256_hex(&rivals[index]));
            } else {
                assert!(
                    ["superseded", "chunk_conflict"].contains(&answer.code().as_str()),
                    "{} {}",
                    answer.status,
                    answer.code()
                );
            }
        }
        let winner = winner.expect("one of them wins");
        let calls = app.script().calls();
        assert_eq!(calls.len(), round + 1);
        assert!(
            calls[round].body == rivals[winner],
            "round {round}: the bytes of the winner and no others"
        );
    }
}

#[test]
fn different_chunks_do_not_disturb_each_other() {
    let server = Server::start("");
    let client = server.client();
    let file = data::random(4, 4 * CHUNK);
    let session = client.create("apart.bin", file.len());
    let mut stalled = Connection::open(server.addr());
    stalled.start(&client.chunk_request(&session, 3, session.chunk(&file, 3)));
    stalled.write(&session.chunk(&file, 3)[..100]).unwrap();
    for index in 0..3 {
        let _ = client.put_chunk(&session, &file, index).status_is(200);
    }
    stalled.write(&session.chunk(&file, 3)[100..]).unwrap();
    let answer = stalled.response("PUT").unwrap().status_is(200).json();
    assert_eq!(answer["completed"], true);
    assert_eq!(answer["sha256"], data::sha256_hex(&file));
}

#[test]
fn many_ask_while_many_send() {
    let mut server = Server::start("");
    let file = data::random(5, 21 * CHUNK);
    let session = server.client().create("crowd.bin", file.len());
    let _ = server
        .client()
        .put_chunk(&session, &file, 20)
        .status_is(200);
    server.restart();
    let client = server.client();
    let _ = together(70, |index| {
        if index < 20 {
            let _ = client.put_chunk(&session, &file, index).status_is(200);
        } else {
            let status = client.status(&session);
            assert!(status["progress"].as_f64().unwrap() <= 1.0);
        }
    });
    assert_eq!(client.state(&session), "completed");
    assert_eq!(
        std::fs::read(server.uploads_dir().join("crowd.bin")).unwrap(),
        file
    );
}

#[test]
fn creates_race_without_mixing() {
    let server = Server::start("");
    let client = server.client();
    let _ = together(16, |index| {
        let file = data::random(400 + index as u64, CHUNK + index);
        let (session, last) = client.upload(&format!("crowd-{index}.bin"), &file);
        assert_eq!(
            last.status_is(200).json()["sha256"],
            data::sha256_hex(&file)
        );
        assert_eq!(
            client.status(&session)["filename"],
            format!("crowd-{index}.bin")
        );
    });
}
