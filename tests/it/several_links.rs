//! Servers that share their sessions: the ways to Redis, and the password in its address.

use std::path::Path;

use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::redis::Redis;
use steadfast_tests::server::{self, Server};
use steadfast_tests::upload::CHUNKED;

use crate::{fleet, machine};

const PASSWORD: &str = "Qx7pW0rd9ZkTheSecret";

fn is_there(test: &str) -> bool {
    machine::has_program(test, "redis-server")
}

/// Two servers on the Redis at `url` share an upload.
fn shared(url: &str, environment: &[(&str, &str)]) -> [Server; 2] {
    let start = |name| Server::prepared(&fleet::config(url, name, TRACE), environment, |_| {});
    let servers = ["node-1", "node-2"].map(start);
    let file = data::random(1, CHUNK + 10);
    let clients = servers.each_ref().map(Server::client);
    let session = clients[0].create("shared.bin", file.len());
    let _ = clients[0].put_chunk(&session, &file, 1).status_is(200);
    assert_eq!(fleet::agreed(&clients, &session)["uploaded_bytes"], 10);
    let refusal = clients[1].put_chunk(&session, &file, 0);
    let _ = refusal.refused(421, "wrong_server");
    let _ = clients[0].put_chunk(&session, &file, 0).status_is(200);
    assert_eq!(fleet::agreed(&clients, &session)["state"], "completed");
    servers
}

const TRACE: &str = "[logging]\nlevel = \"trace\"";

#[test]
fn over_tls() {
    if !is_there("several_links::over_tls") || !machine::has_program("over_tls", "openssl") {
        return;
    }
    let redis = Redis::tls(&["--requirepass", PASSWORD]);
    let authority = redis.certificates().authority();
    let authority = authority.to_str().unwrap();
    for server in shared(&redis.url(), &[("SSL_CERT_FILE", authority)]) {
        assert!(!server.logs().contains(PASSWORD));
    }
}

#[test]
fn over_tls_to_somebody_whom_nobody_vouches_for() {
    let test = "over_tls_to_somebody_whom_nobody_vouches_for";
    if !is_there(test) || !machine::has_program(test, "openssl") {
        return;
    }
    let (redis, other) = (Redis::tls(&[]), Redis::tls(&[]));
    let authority = other.certificates().authority();
    let environment = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    let config = fleet::config(&redis.url(), "node-1", TRACE);
    let server = Server::prepared(&config, &environment, |_: &Path| {});
    let create = server.client().create_request("no.bin", 10);
    let _ = create.send(server.addr()).refused(503, "store_unavailable");
    assert_eq!(redis.command(&["DBSIZE"]).integer(), Some(0));
    let logs = server.logs().to_lowercase();
    assert!(logs.contains("certificate"), "it says why: {logs}");
}

#[test]
fn over_a_unix_socket() {
    if !is_there("over_a_unix_socket") {
        return;
    }
    for extra in [&[][..], &["--requirepass", PASSWORD]] {
        let redis = Redis::unix(extra);
        for server in shared(&redis.url(), &[]) {
            assert!(!server.logs().contains(PASSWORD));
        }
    }
}

#[test]
fn with_a_user_a_password_and_a_database() {
    let rights = format!(">{PASSWORD}");
    let ann = ["--user", "ann", "on", &rights, "~steadfast:*", "+@all"];
    let Some(redis) = fleet::redis("with_a_user_a_password_and_a_database", &ann) else {
        return;
    };
    let url = format!("redis://ann:{PASSWORD}@{}/3", redis.addr());
    for server in shared(&url, &[]) {
        assert!(!server.logs().contains(PASSWORD));
    }
    let mut own = redis.connect().unwrap();
    assert_eq!(own.command(&["DBSIZE"]).unwrap().integer(), Some(0));
    own.command(&["SELECT", "3"]).unwrap();
    let keys = own.command(&["KEYS", "*"]).unwrap().texts();
    assert!(keys.len() > 3, "{keys:?}");
    assert!(
        keys.iter().all(|key| key.starts_with("steadfast:")),
        "{keys:?}"
    );
}

/// All that a server answers to somebody who has no upload.
fn answers(server: &Server) -> String {
    let client = server.client();
    let id = format!("node-1.{}", "A".repeat(43));
    let requests = [
        client.create_request("a.bin", 10),
        client.status_request(&id),
        Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", &id),
        Request::new("GET", "/files"),
        Request::new("GET", "/nothing"),
    ];
    let answers = requests.iter().map(|request| request.send(server.addr()));
    answers
        .map(|answer| format!("{answer:?}{}", String::from_utf8_lossy(&answer.body)))
        .collect()
}

#[test]
fn a_password_is_nowhere_to_be_read() {
    let test = "a_password_is_nowhere_to_be_read";
    let Some(mut redis) = fleet::redis(test, &["--requirepass", PASSWORD]) else {
        return;
    };
    let mut server = Server::with(&fleet::config(&redis.url(), "node-1", TRACE));
    let mut seen = answers(&server);
    let _ = server
        .client()
        .upload("a.bin", b"0123456789")
        .1
        .status_is(200);
    redis.kill9();
    seen += &answers(&server);
    let _ = server.terminate();
    seen += &server.logs();
    assert!(seen.contains("store_unavailable"), "{seen}");
    assert!(!seen.contains(PASSWORD), "{seen}");
}

#[test]
fn nor_is_one_that_is_wrong() {
    let test = "nor_is_one_that_is_wrong";
    let Some(redis) = fleet::redis(test, &["--requirepass", "another"]) else {
        return;
    };
    let addr = redis.addr();
    let urls = [
        format!("redis://:{PASSWORD}@{addr}/0"),
        format!("redis://ann:{PASSWORD}@{addr}/0"),
        // Nobody speaks TLS there, and nobody listens there.
        format!("rediss://:{PASSWORD}@{addr}/0"),
        format!("unix:///nowhere/redis.sock?pass={PASSWORD}"),
    ];
    for url in urls {
        let mut server = Server::with(&fleet::config(&url, "node-1", TRACE));
        let answers = answers(&server);
        assert!(answers.contains("store_unavailable"), "{answers}");
        let _ = server.terminate();
        let seen = answers + &server.logs();
        assert!(!seen.contains(PASSWORD), "{url}: {seen}");
    }
    for url in [
        format!("redis://:{PASSWORD}@"),
        format!("rediss://:{PASSWORD}@{addr}/0#insecure"),
        format!("redis://:{PASSWORD}@{addr}/database"),
    ] {
        let (_, logs) = Server::refused(&fleet::config(&url, "node-1", TRACE));
        assert!(logs.contains("redis_url"), "{logs}");
        assert!(!logs.contains(PASSWORD), "{logs}");
    }
}

#[test]
fn the_effective_configuration_masks_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let url = format!("redis://:{PASSWORD}@127.0.0.1:1/0");
    let config: Config = fleet::config(&url, "node-1", "");
    std::fs::write(&path, config.text()).unwrap();
    let mut check = std::process::Command::new(server::program());
    check.arg("--check-config").arg("--config").arg(&path);
    let output = check.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("@127.0.0.1:1/0"), "{text}");
    assert!(!(text + &String::from_utf8_lossy(&output.stderr)).contains(PASSWORD));
}
