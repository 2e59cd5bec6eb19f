//! Servers that share their sessions: a start without Redis, or with one that is not fit.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::fault_proxy::{Behaviour, FaultProxy};
use steadfast_tests::http::Request;
use steadfast_tests::process::Process;
use steadfast_tests::redis::Redis;
use steadfast_tests::server::{self, Server};
use steadfast_tests::upload::{CHUNKED, sign};
use steadfast_tests::wait::{self, SOON};

use crate::{fleet, machine};

/// Longer than a server takes between two looks at a Redis that hangs.
const HANGING: Duration = Duration::from_secs(4);

fn with(redis: &Redis, name: &str) -> Config {
    fleet::config(&redis.url(), name, "")
}

#[test]
fn without_redis_where_it_is_not_required() {
    let Some(mut redis) = fleet::redis("without_redis_where_it_is_not_required", &[]) else {
        return;
    };
    redis.kill9();
    let optional = "[sessions]\nredis_required = false";
    let mut server = Server::with(&with(&redis, "node-1").and(optional));
    let said = "and redis_required is false";
    assert!(server.logs().contains(said), "{}", server.logs());
    let file = data::random(1, 2 * CHUNK);
    let session = server.client().create("disk.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 1).status_is(200);
    // Not before the next start: what is where must not change under uploads.
    redis.restart();
    let other = Server::with(&with(&redis, "node-2"));
    let ask = || {
        other
            .client()
            .status_request(&session.id)
            .send(other.addr())
    };
    let _ = ask().refused(404, "no_session");
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    let _ = ask().refused(404, "no_session");
    server.restart();
    assert!(!server.logs().contains(said), "{}", server.logs());
    let status = fleet::until_known(server.client(), other.client(), &session);
    assert_eq!(status["state"], "completed");
}

#[test]
fn without_redis_where_it_is_required() {
    let Some(mut redis) = fleet::redis("without_redis_where_it_is_required", &[]) else {
        return;
    };
    let mut server = Server::with(&with(&redis, "node-1"));
    let file = data::random(2, 2 * CHUNK);
    let session = server.client().create("waits.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    redis.kill9();
    server.restart();
    assert!(
        server.logs().contains("Redis cannot be used ("),
        "{}",
        server.logs()
    );
    let client = server.client();
    let all = [
        client.create_request("new.bin", 10),
        client.chunk_request(&session, 1, &file[CHUNK..]),
        client.status_request(&session.id),
        Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", &session.id),
    ];
    for _ in 0..3 {
        for request in &all {
            let refusal = request.send(server.addr());
            let refusal = refusal.refused(503, "store_unavailable");
            let seconds: u64 = refusal.text("retry-after").unwrap().parse().unwrap();
            assert!((1..=10).contains(&seconds), "{seconds}");
        }
    }
    app_works(&server);
    redis.restart();
    wait::until("it goes on", SOON, || {
        let answer = client.ask(&session.id);
        answer.status == 200
    });
    let last = client.put_chunk(&session, &file, 1).status_is(200).json();
    assert_eq!(last["completed"], true);
}

/// The routes that are not ours: the app's own upload and its list of files.
fn app_works(server: &Server) {
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"old.txt\"\r\n\r\n\
                the old way\r\n--b--\r\n";
    let old = Request::new("POST", "/upload")
        .header("X-Signature", sign("/upload"))
        .header("Content-Type", "multipart/form-data; boundary=b")
        .body(body);
    let _ = old.send(server.addr()).status_is(201);
    let files = Request::new("GET", "/files").send(server.addr());
    assert_eq!(files.status_is(200).json()[0]["name"], "old.txt");
}

#[test]
fn a_format_of_another_program_is_refused() {
    let Some(redis) = fleet::redis("a_format_of_another_program_is_refused", &[]) else {
        return;
    };
    let foreign: [&[&str]; 2] = [
        &["SET", "steadfast:format", "x"],
        &["HSET", "steadfast:format", "a", "b"],
    ];
    for command in foreign {
        let _ = redis.command(&["DEL", "steadfast:format"]);
        assert_eq!(redis.command(command).error(), None);
        let (_, logs) = Server::refused(&with(&redis, "node-1"));
        let said = "below sessions.redis_prefix belongs to another program or version";
        assert!(logs.contains(said), "{logs}");
        assert_eq!(redis.command(&["DBSIZE"]).integer(), Some(1), "untouched");
    }
    let other = with(&redis, "node-1").set("sessions", "redis_prefix", "ours");
    let server = Server::with(&other);
    let (session, last) = server.client().upload("prefix.bin", b"0123456789");
    let _ = last.status_is(200);
    assert_eq!(server.client().state(&session), "completed");
    let keys = redis.command(&["KEYS", "*"]).texts();
    let is_ours = |key: &&String| key.starts_with("ours:");
    assert_eq!(
        keys.iter().filter(is_ours).count(),
        keys.len() - 1,
        "{keys:?}"
    );
}

#[test]
fn a_format_that_is_found_later_is_not_written_over() {
    let test = "a_format_that_is_found_later_is_not_written_over";
    let Some(redis) = fleet::redis(test, &[]) else {
        return;
    };
    let proxy = FaultProxy::before(redis.addr());
    proxy.set(Behaviour::Refuse);
    let url = redis.url_through(proxy.addr());
    let server = Server::with(&fleet::config(&url, "node-1", ""));
    let _ = redis.command(&["SET", "steadfast:format", "x"]);
    proxy.set(Behaviour::Pass);
    let said = "below sessions.redis_prefix belongs to another program or version";
    wait::until("it says why", SOON, || server.logs().contains(said));
    let create = server.client().create_request("no.bin", 10);
    let _ = create.send(server.addr()).refused(503, "store_unavailable");
    assert_eq!(redis.command(&["DBSIZE"]).integer(), Some(1), "untouched");
    let looked = proxy.turns();
    wait::until("it looks again", SOON, || proxy.turns() > looked + 6);
    assert_eq!(server.logs().matches(said).count(), 1, "it is said once");
    // An operator who has cleared that need not start it again.
    let _ = redis.command(&["DEL", "steadfast:format"]);
    wait::until("it goes on", SOON, || {
        create.send(server.addr()).status == 201
    });
}

#[test]
fn a_cluster_is_refused() {
    let Some(redis) = fleet::redis("a_cluster_is_refused", &["--cluster-enabled", "yes"]) else {
        return;
    };
    let (_, logs) = Server::refused(&with(&redis, "node-1"));
    let said = "Redis runs as a cluster, which is not supported";
    assert!(logs.contains(said), "{logs}");
}

#[test]
fn a_redis_that_may_drop_sessions_is_warned_of() {
    let test = "a_redis_that_may_drop_sessions_is_warned_of";
    let Some(redis) = fleet::redis(test, &["--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let server = Server::with(&with(&redis, "node-1"));
    let logs = server.logs();
    let warned = |line: &str| line.contains("WARN") && line.contains("allkeys-lru");
    assert_eq!(
        logs.lines().filter(|line| warned(line)).count(),
        1,
        "{logs}"
    );
    let (_, last) = server.client().upload("works.bin", b"0123456789");
    let _ = last.status_is(200);
    // And of nothing where there is nothing.
    let Some(redis) = fleet::redis(test, &[]) else {
        return;
    };
    let server = Server::with(&with(&redis, "node-1"));
    assert!(!server.logs().contains("WARN"), "{}", server.logs());
}

#[test]
fn another_secret_is_worth_a_word() {
    let Some(redis) = fleet::redis("another_secret_is_worth_a_word", &[]) else {
        return;
    };
    let said = "has another secret than this one";
    let one = Server::with(&with(&redis, "node-1"));
    let same = Server::with(&with(&redis, "node-2"));
    let another = "[security]\nsecret = \"quite-another-secret-of-this-test\"";
    let other = Server::with(&with(&redis, "node-3").and(another));
    assert!(other.logs().contains(said), "{}", other.logs());
    for server in [one, same] {
        assert!(!server.logs().contains(said), "{}", server.logs());
    }
}

#[test]
fn a_server_is_ready_while_it_reaches_redis() {
    let Some(mut redis) = fleet::redis("a_server_is_ready_while_it_reaches_redis", &[]) else {
        return;
    };
    let server = Server::with(&with(&redis, "node-1"));
    let ask = || Request::new("GET", "/health/ready").send(server.addr());
    let _ = ask().status_is(200);
    redis.stop();
    wait::until("it is not ready", SOON, || ask().status == 503);
    // All the time, also while it tries again.
    let begun = Instant::now();
    while begun.elapsed() < HANGING {
        let answer = ask().status_is(503);
        assert_eq!(answer.json()["checks"]["store"]["ok"], false);
    }
    let _ = Request::new("GET", "/health")
        .send(server.addr())
        .status_is(200);
    redis.cont();
    wait::until("it is ready again", SOON, || ask().status == 200);
    redis.kill9();
    wait::until("it is not ready", SOON, || ask().status == 503);
    redis.restart();
    wait::until("it is ready again", SOON, || ask().status == 200);
}

/// Asserts that a server that cannot use Redis says why, once.
fn assert_said(url: &str, why: &str) {
    let server = Server::with(&fleet::config(url, "node-1", ""));
    let create = server.client().create_request("a.bin", 10);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let refusal = create.send(server.addr());
        let _ = refusal.refused(503, "store_unavailable");
    }
    assert_eq!(server.logs().matches(why).count(), 1, "{}", server.logs());
    assert!(!server.logs().contains("Redis refuses a command"));
}

#[test]
fn a_database_that_redis_has_not_is_said() {
    if let Some(redis) = fleet::redis("a_database_that_redis_has_not_is_said", &[]) {
        let url = format!("redis://{}/99", redis.addr());
        assert_said(&url, "DB index is out of range");
    }
}

#[test]
fn a_sentinel_is_refused() {
    if !machine::has_program("a_sentinel_is_refused", "redis-sentinel") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, addr) = (dir.path().join("sentinel.conf"), server::free_address());
    std::fs::write(&path, format!("bind 127.0.0.1\nport {}\n", addr.port())).unwrap();
    let sentinel = Process::spawn(Command::new("redis-sentinel").arg(&path));
    wait::until("it listens", SOON, || TcpStream::connect(addr).is_ok());
    let url = format!("redis://{addr}/0");
    let (_, logs) = Server::refused(&fleet::config(&url, "node-1", ""));
    assert!(logs.contains("leads to a sentinel"), "{logs}");
    drop(sentinel);
}

#[test]
fn why_redis_cannot_be_used_is_said() {
    let Some(redis) = fleet::redis(
        "why_redis_cannot_be_used_is_said",
        &["--requirepass", "right"],
    ) else {
        return;
    };
    let url = format!("redis://:wrong-password@{}/0", redis.addr());
    let server = Server::with(&fleet::config(&url, "node-1", ""));
    let logs = server.logs();
    assert!(logs.contains("Redis cannot be used ("), "{logs}");
    assert!(
        logs.to_lowercase().contains("password"),
        "it says why: {logs}"
    );
    assert!(!logs.contains("wrong-password"), "{logs}");
}
