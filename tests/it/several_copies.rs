//! Servers that share their sessions: names that are taken, and state directories that were copied.

use std::path::Path;
use std::process::Command;

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Response, together};
use steadfast_tests::redis::Redis;
use steadfast_tests::script::{Answer, Gate, Reply, Script};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{Client, Session};
use steadfast_tests::wait::{self, SOON};

use crate::fleet::{self, Fleet};
use crate::several::named_in;

#[test]
fn a_name_that_is_taken_is_refused() {
    let Some(fleet) = Fleet::start("a_name_that_is_taken_is_refused", 1, "") else {
        return;
    };
    let session = fleet.client(0).create("kept.bin", 10);
    let (_, logs) = Server::refused(&fleet::config(&fleet.redis.url(), "node-1", ""));
    assert!(
        logs.contains("another server with the name node-1 is there already"),
        "{logs}"
    );
    // The first goes on, and other names, or the same below another prefix, are free.
    let _ = fleet
        .client(0)
        .put(&session, 0, b"0123456789")
        .status_is(200);
    let elsewhere = fleet::config(&fleet.redis.url(), "node-1", "");
    let elsewhere = Server::with(&elsewhere.set("sessions", "redis_prefix", "other"));
    let status = elsewhere.client().status_request(&session.id);
    let _ = status.send(elsewhere.addr()).refused(404, "no_session");
    drop(elsewhere);
    let second = Server::with(&fleet::config(&fleet.redis.url(), "node-2", ""));
    assert_eq!(second.client().state(&session), "completed");
}

/// A server called `name` on a copy of a state directory.
fn copy(from: &Path, redis: &Redis, name: &str) -> Server {
    let config = fleet::config(&redis.url(), name, "");
    Server::prepared(&config, &[], |work: &Path| {
        std::fs::create_dir_all(work.join("data")).expect("a directory");
        copy_dir(from, &work.join("data/uploads"));
    })
}

fn copy_dir(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.arg("-a").arg(from).arg(to);
    assert!(cp.status().expect("cp runs").success());
}

/// Uploads of which only the last chunk is missing, with their files.
fn almost_done(client: Client, count: usize) -> Vec<(Session, Vec<u8>)> {
    let begin = |n: usize| {
        let file = data::random(n as u64, 2 * CHUNK);
        let session = client.create(&format!("copied-{n}.bin"), file.len());
        let _ = client.put_chunk(&session, &file, 0).status_is(200);
        (session, file)
    };
    (0..count).map(begin).collect()
}

/// How often each file was handed over, by any of the servers.
fn deliveries(servers: &[&Server], file: &[u8]) -> usize {
    let holding = |server: &&Server| tree::holding(&server.uploads_dir(), file).len();
    servers.iter().map(holding).sum()
}

#[test]
fn of_a_copied_directory_the_server_that_began_later_has_the_uploads() {
    let test = "of_a_copied_directory_the_server_that_began_later_has_the_uploads";
    let Some(fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let (first, bystander) = (&fleet.servers[0], fleet.client(1));
    let uploads = almost_done(first.client(), 5);
    let second = copy(&first.state_dir(), &fleet.redis, "node-3");
    for (session, file) in &uploads {
        wait::until("the later server has it", SOON, || {
            let refusal = bystander.put_chunk(session, file, 1);
            named_in(&refusal.refused(421, "wrong_server")).addr() == second.addr()
        });
        let refusal = first.client().put_chunk(session, file, 1);
        let refusal = refusal.refused(421, "wrong_server");
        assert_eq!(named_in(&refusal).addr(), second.addr());
        let last = second.client().put_chunk(session, file, 1).status_is(200);
        assert_eq!(last.json()["completed"], true);
        let everyone = [first.client(), bystander, second.client()];
        assert_eq!(fleet::agreed(&everyone, session)["state"], "completed");
        assert_eq!(deliveries(&[first, &second], file), 1);
    }
    // What either makes from now on is its own.
    for own in [first.client(), second.client()] {
        let (session, last) = own.upload("own.bin", &data::random(99, CHUNK));
        let _ = last.status_is(200);
        assert_eq!(bystander.state(&session), "completed");
    }
}

#[test]
fn of_two_that_finish_an_upload_at_once_one_hands_it_over() {
    let test = "of_two_that_finish_an_upload_at_once_one_hands_it_over";
    let Some(fleet) = Fleet::start(test, 1, "") else {
        return;
    };
    let first = &fleet.servers[0];
    let uploads = almost_done(first.client(), 12);
    let second = copy(&first.state_dir(), &fleet.redis, "node-3");
    let everyone = [first.client(), second.client()];
    for (session, file) in &uploads {
        let answers = together(2, |n| everyone[n].put_chunk(session, file, 1));
        let outcome = |answer: &Response| (answer.status, answer.code());
        let outcomes: Vec<_> = answers.iter().map(outcome).collect();
        let done = outcomes.iter().filter(|(status, _)| *status == 200).count();
        assert!(done >= 1, "{outcomes:?}");
        let fine = |(status, _): &(u16, String)| [200, 202, 421].contains(status);
        assert!(outcomes.iter().all(fine), "{outcomes:?}");
        let settled = || {
            let states = everyone.map(|client| client.state(session));
            states.iter().all(|state| state == "completed")
        };
        wait::until("both know it is done", SOON, settled);
        assert_eq!(deliveries(&[first, &second], file), 1, "{outcomes:?}");
    }
}

#[test]
fn of_two_with_one_name_the_one_that_began_later_goes_on() {
    let test = "of_two_with_one_name_the_one_that_began_later_goes_on";
    let Some(fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let (first, bystander) = (&fleet.servers[0], fleet.client(1));
    let uploads = almost_done(first.client(), 2);
    let second = copy(&first.state_dir(), &fleet.redis, "node-1");
    wait::until("the first is told", SOON, || {
        first.logs().contains("this one takes no more uploads")
    });
    for (session, file) in &uploads {
        let refusal = first.client().put_chunk(session, file, 1);
        assert!([421, 503].contains(&refusal.status), "{refusal:?}");
        let _ = second.client().put_chunk(session, file, 1).status_is(200);
        assert_eq!(bystander.state(session), "completed");
        assert_eq!(deliveries(&[first, &second], file), 1);
    }
    let create = first.client().create_request("late.bin", 10);
    let refusal = create.send(first.addr()).refused(503, "store_unavailable");
    assert!(refusal.text("retry-after").is_some());
    assert_eq!(
        first
            .logs()
            .matches("this one takes no more uploads")
            .count(),
        1,
        "it is said once"
    );
}

#[test]
fn what_is_handed_over_is_not_taken_by_an_older_copy() {
    let test = "what_is_handed_over_is_not_taken_by_an_older_copy";
    let Some(redis) = fleet::redis(test, &[]) else {
        return;
    };
    let gate = Gate::default();
    let stored = Reply::After(gate.clone(), Answer::text(201, "stored"));
    let extra = "[delivery]\nfinalize_wait = \"50ms\"";
    let app = fleet::app(&redis, extra, Script::always(stored));
    let (session, file) = almost_done(app.client(), 1).remove(0);
    let dir = tempfile::tempdir().unwrap();
    let earlier = dir.path().join("earlier");
    copy_dir(&app.state_dir(), &earlier);
    let _ = app.client().put_chunk(&session, &file, 1).status_is(202);
    let second = copy(&earlier, &redis, "node-3");
    for (state, opens) in [("finishing", true), ("completed", false)] {
        let _ = app.client().until_state(&session, state);
        let refusal = second.client().put_chunk(&session, &file, 1);
        let _ = refusal.refused(421, "wrong_server");
        assert_eq!(second.client().state(&session), state);
        if opens {
            gate.open();
        }
    }
    assert_eq!(deliveries(&[&second], &file), 0);
    assert_eq!(app.script().calls().len(), 1);
}
