//! Servers that share their sessions: what one owner may take is bounded on all of them together.

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Response, together};
use steadfast_tests::upload::{Client, Session};
use steadfast_tests::wait;

use crate::fleet::{Fleet, NAMES};

/// Room that is given back is known everywhere within this time.
const GIVEN_BACK: std::time::Duration = std::time::Duration::from_secs(5);

fn ask(client: Client, size: usize) -> Response {
    client.create_request("bound.bin", size).send(client.addr())
}

/// All servers refuse another upload of `size` bytes.
#[track_caller]
fn all_refuse(fleet: &Fleet, size: usize) {
    for client in fleet.clients() {
        let refusal = ask(client, size).refused(429, "too_many_sessions");
        assert!(refusal.text("retry-after").is_some());
    }
}

/// Waits until a server has room for another upload.
fn until_taken(client: Client, size: usize) -> Session {
    wait::eventually("there is room again", GIVEN_BACK, || {
        let answer = ask(client, size);
        assert!([201, 429].contains(&answer.status), "{answer:?}");
        (answer.status == 201).then(|| Session::from_answer(answer.json()))
    })
}

#[test]
fn sessions() {
    let extra = "[uploads]\nmax_sessions_per_owner = 4";
    let Some(fleet) = Fleet::start("several_bounds::sessions", 2, extra) else {
        return;
    };
    let [a, b] = [fleet.client(0), fleet.client(1)];
    let one = a.create("one.bin", 10);
    let two = a.create("two.bin", 10);
    let three = b.create("three.bin", 10);
    let four = b.create("four.bin", 10);
    all_refuse(&fleet, 10);
    // Completed, and there is room at the other server.
    let _ = a.put(&one, 0, b"0123456789").status_is(200);
    let five = until_taken(b, 10);
    all_refuse(&fleet, 10);
    // Cancelled, at its own server and through another.
    let _ = b.cancel(&three).status_is(204);
    let six = until_taken(a, 10);
    all_refuse(&fleet, 10);
    let _ = a.cancel(&five).status_is(204);
    let seven = until_taken(a, 10);
    all_refuse(&fleet, 10);
    for session in [two, four, six, seven] {
        assert_eq!(fleet.status(&session)["state"], "receiving");
    }
}

#[test]
fn bytes() {
    let limit = 10 * CHUNK;
    let extra = format!("[uploads]\nmax_reserved_per_owner = \"{limit}\"");
    let Some(fleet) = Fleet::start("several_bounds::bytes", 2, &extra) else {
        return;
    };
    let [a, b] = [fleet.client(0), fleet.client(1)];
    let _ = ask(a, limit + 1).refused(413, "too_large");
    let file = data::random(1, 6 * CHUNK);
    let large = a.create("large.bin", file.len());
    let _ = b.create("rest.bin", limit - file.len() - 1);
    let _ = b.create("byte.bin", 1);
    all_refuse(&fleet, 1);
    // What has arrived is no longer expected.
    let _ = a.put_chunk(&large, &file, 3).status_is(200);
    let second = until_taken(b, CHUNK);
    all_refuse(&fleet, 1);
    let _ = a.cancel(&second).status_is(204);
    let _ = until_taken(a, CHUNK);
    all_refuse(&fleet, 1);
}

#[test]
fn never_more_at_once() {
    let extra = "[uploads]\nmax_sessions_per_owner = 10";
    let Some(fleet) = Fleet::start("never_more_at_once", 3, extra) else {
        return;
    };
    let taken = together(12, |n| {
        let mut taken = 0;
        for _ in 0..3 {
            let answer = ask(fleet.client(n % 3), 10);
            assert!([201, 429].contains(&answer.status), "{answer:?}");
            taken += usize::from(answer.status == 201);
        }
        taken
    });
    let taken: usize = taken.iter().sum();
    assert!(taken <= 10, "{taken} were let in");
    for n in taken..10 {
        let _ = until_taken(fleet.client(n % 3), 10);
    }
    all_refuse(&fleet, 10);
}

/// What a server has stated of the only owner: its fence, a version, sessions, and more.
fn stated(fleet: &Fleet, server: usize) -> Vec<String> {
    let owners = fleet.redis.command(&["KEYS", "steadfast:owner:*"]).texts();
    assert_eq!(owners.len(), 1, "{owners:?}");
    let stated = fleet.redis.command(&["HGET", &owners[0], NAMES[server]]);
    let text = stated.text().unwrap();
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn the_last_place_is_taken_by_one() {
    let extra = "[uploads]\nmax_sessions_per_owner = 1";
    let Some(fleet) = Fleet::start("the_last_place_is_taken_by_one", 2, extra) else {
        return;
    };
    let client = fleet.client(0);
    for round in 0..20 {
        let answers = together(4, |_| ask(client, 10));
        let taken: Vec<_> = answers
            .into_iter()
            .filter(|answer| answer.status == 201)
            .collect();
        let [taken] = &taken[..] else {
            panic!("round {round}: {taken:?}");
        };
        let session = Session::from_answer(taken.json());
        let _ = client.cancel(&session).status_is(204);
    }
}

#[test]
fn a_restart_gives_no_room() {
    let extra = "[uploads]\nmax_sessions_per_owner = 40";
    let Some(mut fleet) = Fleet::start("a_restart_gives_no_room", 2, extra) else {
        return;
    };
    let mut sessions = Vec::new();
    for n in 0..40 {
        sessions.push(fleet.client(n % 2).create("kept.bin", 10));
    }
    all_refuse(&fleet, 10);
    fleet.servers[0].kill9();
    let _ = ask(fleet.client(1), 10).refused(429, "too_many_sessions");
    let before = stated(&fleet, 0);
    fleet.servers[0].restart();
    // Until it has counted what it has, it cannot tell whether there is room.
    for n in 0..20 {
        let answer = ask(fleet.client(n % 2), 10);
        assert!([429, 503].contains(&answer.status), "{answer:?}");
    }
    // It counts what it has, and then says so.
    wait::until("it has counted", GIVEN_BACK, || {
        let now = stated(&fleet, 0);
        now[0] != before[0] && now[2] == "20"
    });
    all_refuse(&fleet, 10);
    for session in &sessions {
        assert_eq!(fleet.status(session)["state"], "receiving");
    }
    all_refuse(&fleet, 10);
    let last = fleet.client(0).put(&sessions[0], 0, b"0123456789");
    let _ = last.status_is(200);
    let _ = until_taken(fleet.client(1), 10);
    all_refuse(&fleet, 10);
}

#[test]
fn what_redis_forgets_is_counted_again() {
    let extra = "[uploads]\nmax_sessions_per_owner = 6";
    let Some(fleet) = Fleet::start("what_redis_forgets_is_counted_again", 2, extra) else {
        return;
    };
    for n in 0..6 {
        let _ = fleet.client(n % 2).create("counted.bin", 10);
    }
    all_refuse(&fleet, 10);
    let _ = fleet.redis.command(&["FLUSHALL"]);
    // Both have stated what they take.
    wait::until("it is counted again", GIVEN_BACK, || {
        let owners = fleet.redis.command(&["KEYS", "steadfast:owner:*"]).texts();
        let count = |key: &String| fleet.redis.command(&["HLEN", key]).integer();
        owners.iter().filter_map(count).sum::<i64>() == 2
    });
    all_refuse(&fleet, 10);
}
