//! Servers that share their sessions: the status of every upload, from every server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Events, Request};
use steadfast_tests::script::{Answer, Gate, Reply, Script};
use steadfast_tests::server::Server;
use steadfast_tests::upload::{Client, Session};
use steadfast_tests::wait::{self, SOON};

use crate::fleet::{self, Fleet};

/// Servers that are there have said so again long before.
const LONGER_THAN_A_RETURN: Duration = Duration::from_secs(4);

#[test]
fn every_server_knows_what_is_missing() {
    let Some(fleet) = Fleet::start("every_server_knows_what_is_missing", 3, "") else {
        return;
    };
    let file = data::random(1, 5 * CHUNK - 7);
    let own = fleet.client(0);
    let session = own.create("missing.bin", file.len());
    assert!(session.id.starts_with("node-1."), "{}", session.id);
    let status = fleet.status(&session);
    assert_eq!(status["state"], "receiving");
    assert_eq!(status["missing"], json!([[0, 4]]));
    let steps = [
        (3, json!([[0, 2], [4, 4]]), CHUNK),
        (0, json!([[1, 2], [4, 4]]), 2 * CHUNK),
        (4, json!([[1, 2]]), 3 * CHUNK - 7),
        (1, json!([[2, 2]]), 4 * CHUNK - 7),
    ];
    for (index, missing, bytes) in steps {
        let _ = own.put_chunk(&session, &file, index).status_is(200);
        let status = fleet.status(&session);
        assert_eq!(status["missing"], missing);
        assert_eq!(status["uploaded_bytes"], bytes);
        assert_eq!(status["state"], "receiving");
    }
    let last = own.put_chunk(&session, &file, 2).status_is(200).json();
    let status = fleet.status(&session);
    assert_eq!(status["state"], "completed");
    assert_eq!(status["handler"], last["handler"]);
    assert_eq!(status["sha256"], data::sha256_hex(&file));
}

#[test]
fn every_server_knows_the_chunk_size_a_client_chose() {
    let test = "every_server_knows_the_chunk_size_a_client_chose";
    let Some(fleet) = Fleet::start(test, 2, "[uploads]\nchunk_size = \"1MB\"") else {
        return;
    };
    let size = 100_000;
    let file = data::random(2, 3 * size + 1);
    let session = fleet.client(0).create("chosen.bin", file.len());
    assert_eq!(fleet.status(&session)["total_chunks"], 1);
    let _ = fleet
        .client(0)
        .put(&session, 0, &file[..size])
        .status_is(200);
    let status = fleet.status(&session);
    assert_eq!(status["chunk_size"], size);
    assert_eq!(status["missing"], json!([[1, 3]]));
    let last = fleet.client(0).put(&session, 3, &file[3 * size..]);
    let _ = last.status_is(200);
    assert_eq!(fleet.status(&session)["missing"], json!([[1, 2]]));
}

#[test]
fn a_session_may_be_asked_for_by_header() {
    let Some(fleet) = Fleet::start("a_session_may_be_asked_for_by_header", 2, "") else {
        return;
    };
    let session = fleet.client(0).create("asked.bin", CHUNK);
    for verb in ["GET", "HEAD"] {
        let request = Request::new(verb, "/upload/status");
        let request = request.header("X-Upload-Session-ID", &session.id);
        let answer = request.send(fleet.client(1).addr()).status_is(200);
        assert_eq!(answer.body.is_empty(), verb == "HEAD");
    }
}

#[test]
fn what_is_known_stays_known_while_its_server_is_down() {
    let test = "what_is_known_stays_known_while_its_server_is_down";
    let Some(mut fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    let sessions = of_every_kind(fleet.client(0), 3);
    let before: Vec<_> = sessions.iter().map(|known| fleet.status(known)).collect();
    fleet.servers[0].kill9();
    let others = &fleet.clients()[1..];
    for (session, before) in sessions.iter().zip(&before) {
        assert_eq!(fleet::agreed(others, session), *before);
    }
    fleet.servers[0].restart();
    let own = fleet.client(0);
    for (session, before) in sessions.iter().zip(&before) {
        // Expiry counts from the start of its server.
        let now = own.status(session);
        let mut expected = before.clone();
        expected["expires_at"] = now["expires_at"].clone();
        assert_eq!(now, expected);
        for other in others {
            let _ = fleet::until_known(own, *other, session);
        }
    }
}

#[test]
fn nothing_expires_while_its_server_is_down() {
    let test = "nothing_expires_while_its_server_is_down";
    let extra = "[uploads]\nfirst_byte_timeout = \"3s\"";
    let Some(mut fleet) = Fleet::start(test, 2, extra) else {
        return;
    };
    let file = data::random(9, CHUNK);
    let session = fleet.client(0).create("kept.bin", file.len());
    fleet.servers[0].kill9();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let answer = fleet.client(1).ask(&session.id);
        assert_eq!(answer.status_is(200).json()["state"], "receiving");
    }
    fleet.servers[0].restart();
    let _ = fleet.client(0).put(&session, 0, &file).status_is(200);
    let _ = fleet::until_known(fleet.client(0), fleet.client(1), &session);
}

/// Uploads in every state that the example's handler leads to: `receiving` of them unfinished.
fn of_every_kind(client: Client, receiving: usize) -> Vec<Session> {
    let file = data::random(3, 3 * CHUNK);
    let mut sessions = Vec::new();
    for n in 0..receiving {
        let session = client.create(&format!("open-{n}.bin"), file.len());
        let _ = client.put_chunk(&session, &file, n % 3).status_is(200);
        sessions.push(session);
    }
    let (completed, last) = client.upload("done.bin", &file);
    let _ = last.status_is(200);
    // The example's handler takes no hidden files.
    let (rejected, last) = client.upload(".hidden", &file);
    let _ = last.status_is(400);
    let cancelled = client.create("cancelled.bin", file.len());
    let _ = client.put_chunk(&cancelled, &file, 1).status_is(200);
    let _ = client.cancel(&cancelled).status_is(204);
    let untouched = client.create("untouched.bin", file.len());
    for (session, state) in [
        (&completed, "completed"),
        (&rejected, "rejected"),
        (&cancelled, "cancelled"),
        (&untouched, "receiving"),
    ] {
        assert_eq!(client.state(session), state);
    }
    sessions.extend([completed, rejected, cancelled, untouched]);
    sessions
}

#[test]
fn what_redis_forgets_is_known_again_within_two_seconds() {
    let test = "what_redis_forgets_is_known_again_within_two_seconds";
    let Some(mut fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    let clients = fleet.clients();
    let of_server = |client: &Client| of_every_kind(*client, 8);
    let sessions: Vec<_> = clients.iter().flat_map(of_server).collect();
    let before: Vec<_> = sessions.iter().map(|known| fleet.status(known)).collect();
    let is_known = |client: Client, session: &Session, status: &Value| {
        let answer = client.ask(&session.id);
        answer.status == 200 && answer.json() == *status
    };
    let all_known = || {
        let mut known = sessions.iter().zip(&before);
        known.all(|(session, status)| {
            clients
                .iter()
                .all(|client| is_known(*client, session, status))
        })
    };
    assert_eq!(fleet.redis.command(&["FLUSHALL"]).text().unwrap(), "OK");
    known_within(Duration::from_secs(2), all_known);
    fleet.redis.restart();
    // The servers have to connect as well.
    known_within(SOON, all_known);
}

fn known_within(limit: Duration, all_known: impl Fn() -> bool) {
    let start = Instant::now();
    loop {
        let asked = start.elapsed();
        assert!(asked < limit, "not known again within {limit:?}");
        if all_known() {
            return;
        }
    }
}

#[test]
fn an_upload_goes_on_while_redis_has_forgotten_it() {
    let test = "an_upload_goes_on_while_redis_has_forgotten_it";
    let Some(fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let file = data::random(4, 4 * CHUNK);
    let session = fleet.client(0).create("on.bin", file.len());
    for index in 0..4 {
        let answer = fleet.client(0).put_chunk(&session, &file, index);
        let _ = answer.status_is(200);
        // What was added last is not all that is told.
        assert_eq!(
            fleet.status(&session)["uploaded_bytes"],
            (index + 1) * CHUNK
        );
        let _ = fleet.redis.command(&["FLUSHALL"]);
    }
    let status = fleet::until_known(fleet.client(0), fleet.client(1), &session);
    assert_eq!(status["state"], "completed");
}

/// Brings an upload of a scripted app into `state` and compares what another server says of it.
fn stage(test: &str, extra: &str, script: Script, state: &str) -> Option<(App, Session)> {
    let redis = fleet::redis(test, &[])?;
    let other = Server::with(&fleet::config(&redis.url(), "other", extra));
    let mut app = fleet::app(&redis, extra, script);
    let file = data::random(5, CHUNK + 1);
    let session = app.client().create("stage.bin", file.len());
    let _ = app.client().put_all(&session, &file);
    let _ = app.client().until_state(&session, state);
    let status = fleet::until_known(app.client(), other.client(), &session);
    assert_eq!(status["state"], state);
    assert_eq!(status["uploaded_bytes"], file.len());
    app.stop();
    assert_eq!(other.client().status(&session), status);
    Some((app, session))
}

#[test]
fn an_upload_that_is_being_handed_over() {
    let reply = Reply::After(Gate::default(), Answer::text(201, "stored"));
    let test = "an_upload_that_is_being_handed_over";
    let extra = "[delivery]\nfinalize_wait = \"50ms\"";
    let _ = stage(test, extra, Script::always(reply), "finishing");
}

#[test]
fn an_upload_that_was_handed_over() {
    let test = "an_upload_that_was_handed_over";
    let answer = Answer::text(201, "stored").header("location", "/files/7");
    let _ = stage(test, "", Script::always(answer), "completed");
}

#[test]
fn an_upload_with_an_answer_that_is_no_text() {
    let test = "an_upload_with_an_answer_that_is_no_text";
    let mut answer = Answer::text(201, "");
    answer.body = (0..=255).cycle().take(70_000).collect();
    let _ = stage(test, "", Script::always(answer), "completed");
}

#[test]
fn an_upload_that_was_rejected() {
    let test = "an_upload_that_was_rejected";
    let _ = stage(
        test,
        "",
        Script::always(Answer::text(422, "no")),
        "rejected",
    );
}

#[test]
fn an_upload_that_could_not_be_handed_over() {
    let test = "an_upload_that_could_not_be_handed_over";
    let _ = stage(
        test,
        "",
        Script::always(Answer::text(503, "later")),
        "undelivered",
    );
}

#[test]
fn an_upload_of_which_nobody_knows_the_outcome() {
    let test = "an_upload_of_which_nobody_knows_the_outcome";
    let extra = "[delivery]\non_unknown = \"hold\"";
    let _ = stage(test, extra, Script::always(Reply::Panic), "unknown");
}

#[test]
fn what_an_older_redis_does_not_know_is_told_again() {
    let test = "what_an_older_redis_does_not_know_is_told_again";
    let Some(mut fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let file = data::random(7, 2 * CHUNK);
    let before = fleet.client(0).create("before.bin", file.len());
    // It comes back with this.
    let saved = fleet.redis.command(&["SAVE"]);
    assert_eq!(saved.text().as_deref(), Some("OK"));
    let _ = fleet.client(0).put_chunk(&before, &file, 0).status_is(200);
    let after = fleet.client(0).create("after.bin", file.len());
    fleet.redis.kill9();
    fleet.redis.restart();
    for session in [&before, &after] {
        wait::until("it is told again", SOON, || {
            let [own, other] = [0, 1].map(|server| {
                let client = fleet.client(server);
                client.ask(&session.id)
            });
            assert_ne!(other.status, 404, "it is there");
            own.status == 200 && other.status == 200 && own.json() == other.json()
        });
    }
}

#[test]
fn nothing_is_unknown_while_a_server_is_away_that_redis_has_forgotten() {
    let test = "nothing_is_unknown_while_a_server_is_away_that_redis_has_forgotten";
    let Some(mut fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let session = fleet.client(0).create("away.bin", 10);
    let other = fleet.client(1);
    fleet.servers[0].kill9();
    fleet.redis.kill9();
    fleet.redis.restart();
    let begun = Instant::now();
    while begun.elapsed() < LONGER_THAN_A_RETURN {
        assert_eq!(other.ask(&session.id).status, 503);
    }
    fleet.servers[0].restart();
    wait::until("it is told again", SOON, || {
        match other.ask(&session.id).status {
            200 => true,
            status => {
                assert_eq!(status, 503);
                false
            }
        }
    });
}

#[test]
fn an_upload_that_is_lost_is_known_nowhere_else() {
    let test = "an_upload_that_is_lost_is_known_nowhere_else";
    let Some(mut fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let file = data::random(8, 2 * CHUNK);
    let session = fleet.client(0).create("lost.bin", file.len());
    let _ = fleet.client(0).put_chunk(&session, &file, 0).status_is(200);
    assert_eq!(fleet.client(1).ask(&session.id).status, 200);
    fleet.servers[0].kill9();
    spoil_logs(&fleet.servers[0]);
    fleet.servers[0].restart();
    let status = |server: usize| fleet.client(server).ask(&session.id).status;
    wait::until("it is found to be lost", SOON, || status(0) == 410);
    wait::until("nobody believes in it", SOON, || status(1) == 404);
}

/// Flips a bit in the first entry of every log.
fn spoil_logs(server: &Server) {
    let state = server.work().join("data/uploads");
    let logs = std::fs::read_dir(state).expect("the state directory");
    for log in logs.flatten().map(|entry| entry.path()) {
        if log.extension().is_some_and(|extension| extension == "log") {
            let mut bytes = std::fs::read(&log).expect("a log");
            bytes[60] ^= 1;
            std::fs::write(&log, bytes).expect("the log is written");
        }
    }
}

#[test]
fn only_the_server_that_keeps_an_upload_has_its_events() {
    let test = "only_the_server_that_keeps_an_upload_has_its_events";
    let Some(fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let session = fleet.client(0).create("events.bin", CHUNK);
    let _ = fleet.status(&session);
    let request = Request::new("GET", &format!("/upload/events?session_id={}", session.id));
    let elsewhere = request.send(fleet.client(1).addr());
    let elsewhere = elsewhere.refused(421, "wrong_server");
    let own = fleet.client(0).addr();
    assert_eq!(
        elsewhere.text("x-upload-server"),
        Some(format!("http://{own}"))
    );
    let mut events = Events::open(own, &session.id);
    assert_eq!(events.next_event().unwrap().name, "snapshot");
}
