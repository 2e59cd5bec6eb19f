//! Servers that share their sessions: what Redis loses, and servers that do not come back.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::fault_proxy::{Behaviour, FaultProxy};
use steadfast_tests::redis::Redis;
use steadfast_tests::server::Server;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

use crate::fleet::{self, Fleet};

/// How Redis names a script of these files.
fn named(redis: &Redis, files: &[&str]) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../middleware/src/store/redis/scripts");
    let text = |file: &&str| std::fs::read_to_string(dir.join(file)).expect("a script");
    let whole: String = files.iter().map(text).collect();
    let name = redis.command(&["SCRIPT", "LOAD", &whole]).text();
    name.expect("its name")
}

/// A server behind a network that fails, another one, and an upload of the first.
fn behind_a_network(test: &str) -> Option<(Redis, FaultProxy, [Server; 2], Session)> {
    let redis = fleet::redis(test, &[])?;
    let proxy = FaultProxy::before(redis.addr());
    let url = redis.url_through(proxy.addr());
    let first = Server::with(&fleet::config(&url, "node-1", ""));
    let second = Server::with(&fleet::config(&redis.url(), "node-2", ""));
    let session = first.client().create("lost.bin", CHUNK);
    let _ = second.client().status(&session);
    Some((redis, proxy, [first, second], session))
}

fn is_known_again([first, second]: &[Server; 2], session: &Session) {
    wait::until("it is known again", SOON, || {
        let answers = [first, second].map(|server| server.client().ask(&session.id));
        answers.iter().all(|answer| answer.status == 200)
    });
    let unknown = format!("node-1.{}", "A".repeat(43));
    wait::until("the rest is known to be unknown", SOON, || {
        match second.client().ask(&unknown).status {
            404 => true,
            status => {
                assert_eq!(status, 503);
                false
            }
        }
    });
}

#[test]
fn a_loss_is_heard_of_though_the_reply_that_says_so_is_lost() {
    let test = "a_loss_is_heard_of_though_the_reply_that_says_so_is_lost";
    let Some((redis, proxy, servers, session)) = behind_a_network(test) else {
        return;
    };
    let beat = named(&redis, &["beat.lua"]);
    let _ = redis.command(&["FLUSHALL"]);
    proxy.set(Behaviour::LoseReplyTo(beat.into_bytes()));
    wait::until("the reply is lost", SOON, || proxy.cuts() == 1);
    is_known_again(&servers, &session);
}

#[test]
fn what_could_not_be_told_at_once_holds_nobody_up_for_long() {
    let test = "what_could_not_be_told_at_once_holds_nobody_up_for_long";
    let Some((redis, proxy, servers, session)) = behind_a_network(test) else {
        return;
    };
    let register = named(&redis, &["fence.lua", "register.lua"]);
    proxy.set(Behaviour::LoseReplyTo(register.into_bytes()));
    let _ = redis.command(&["FLUSHALL"]);
    wait::until("a reply is lost", SOON, || proxy.cuts() == 1);
    is_known_again(&servers, &session);
}

#[test]
fn others_go_on_while_a_server_is_away_that_redis_has_forgotten() {
    let test = "others_go_on_while_a_server_is_away_that_redis_has_forgotten";
    let Some(mut fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let session = fleet.client(0).create("away.bin", CHUNK);
    fleet.servers[0].kill9();
    let _ = fleet.redis.command(&["FLUSHALL"]);
    let other = fleet.client(1);
    // It may not have found out yet.
    wait::until("uploads go on", SOON, || {
        let create = other.create_request("new.bin", CHUNK);
        let create = create.header("Idempotency-Key", "the key of one create");
        let answer = create.send(other.addr());
        assert!([201, 503].contains(&answer.status), "{answer:?}");
        answer.status == 201
    });
    assert_eq!(other.ask(&session.id).status, 503, "it may come back");
    // Nor does another server know better that was not there.
    fleet.servers[1].restart();
    assert_eq!(fleet.client(1).ask(&session.id).status, 503);
    fleet.servers[0].restart();
    let _ = fleet::until_known(fleet.client(0), fleet.client(1), &session);
}

/// What a server says of itself is `seconds` old from now on.
fn age(redis: &Redis, server: &str, seconds: u64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seen = (now.unwrap().as_secs() - seconds).to_string();
    let key = format!("steadfast:server:{server}");
    let _ = redis.command(&["HSET", &key, "seen", &seen]);
}

/// Forgets an upload whose server has not.
fn drop_upload(redis: &Redis) {
    let keys = redis.command(&["KEYS", "steadfast:upload:*"]).texts();
    assert!(!keys.is_empty());
    for key in keys {
        let _ = redis.command(&["DEL", &key]);
    }
}

#[test]
fn what_a_server_had_not_told_when_it_died_is_not_unknown() {
    let test = "what_a_server_had_not_told_when_it_died_is_not_unknown";
    let Some(mut fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let session = fleet.client(0).create("untold.bin", CHUNK);
    fleet.servers[0].kill9();
    let _ = fleet
        .redis
        .command(&["HSET", "steadfast:server:node-1", "told", ""]);
    drop_upload(&fleet.redis);
    for (seconds, status) in [(1, 503), (60, 503), (700, 404)] {
        age(&fleet.redis, "node-1", seconds);
        assert_eq!(
            fleet.client(1).ask(&session.id).status,
            status,
            "{seconds} s"
        );
    }
}

#[test]
fn uploads_are_forgotten_with_servers_that_are_gone_for_good() {
    let test = "uploads_are_forgotten_with_servers_that_are_gone_for_good";
    let Some(mut fleet) = Fleet::start(test, 2, "") else {
        return;
    };
    let session = fleet.client(0).create("gone.bin", CHUNK);
    let keys = fleet
        .redis
        .command(&["ZRANGE", "steadfast:deadlines", "0", "-1"]);
    let [key] = &keys.texts()[..] else {
        panic!("one deadline: {keys:?}");
    };
    let due = || {
        fleet
            .redis
            .command(&["ZADD", "steadfast:deadlines", "1", key])
    };
    let score = |redis: &Redis| {
        let score = redis
            .command(&["ZSCORE", "steadfast:deadlines", key])
            .text();
        score.map(|score| score.parse::<u64>().expect("a time"))
    };
    // Whoever is there forgets its uploads itself.
    let _ = due();
    fleet.servers[1].restart();
    wait::until("it was looked at", SOON, || score(&fleet.redis) > Some(1));
    assert_eq!(fleet.client(1).state(&session), "receiving");
    fleet.servers[0].kill9();
    let _ = fleet
        .redis
        .command(&["ZADD", "steadfast:deadlines", "1", key]);
    age(&fleet.redis, "node-1", 25 * 3_600);
    fleet.servers[1].restart();
    wait::until("it is forgotten", SOON, || score(&fleet.redis).is_none());
    assert_eq!(fleet.client(1).ask(&session.id).status, 404);
}

#[test]
fn what_has_ended_takes_no_room_after_a_crash() {
    let test = "what_has_ended_takes_no_room_after_a_crash";
    let extra = "[uploads]\nmax_sessions_per_owner = 1";
    let Some(mut fleet) = Fleet::start(test, 2, extra) else {
        return;
    };
    let file = data::random(1, CHUNK);
    let begun = Instant::now();
    let (_, last) = fleet.client(0).upload("ended.bin", &file);
    let _ = last.status_is(200);
    fleet.servers[0].kill9();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "it has not told yet"
    );
    fleet.servers[0].restart();
    wait::until("there is room", SOON, || {
        let create = fleet.client(1).create_request("next.bin", CHUNK);
        create.send(fleet.client(1).addr()).status == 201
    });
}
