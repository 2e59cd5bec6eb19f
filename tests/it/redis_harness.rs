//! The harness of the tests with Redis does what those tests rely on.

use std::process::{Command, Stdio};
use std::time::Duration;

use steadfast_tests::redis::{Connection, Redis, Reply};

use crate::machine;

/// Whether there is a Redis to test with.
fn skipped(test: &str) -> bool {
    !machine::has_program(test, "redis-server")
}

fn ok() -> Reply {
    Reply::Simple("OK".to_owned())
}

#[test]
fn every_kind_of_reply_is_understood() {
    if skipped("every_kind_of_reply_is_understood") {
        return;
    }
    let redis = Redis::start(&[]);
    let mut own = Connection::tcp(redis.addr()).unwrap();
    let mut run = |words: &[&str]| own.command(words).unwrap();
    assert_eq!(run(&["SET", "a", "x\r\ny"]), ok());
    assert_eq!(run(&["GET", "a"]), Reply::Bulk(b"x\r\ny".to_vec()));
    assert_eq!(run(&["GET", "b"]), Reply::Nil);
    assert_eq!(run(&["INCR", "n"]).integer(), Some(1));
    assert_eq!(run(&["MGET", "n", "a"]).texts(), ["1", "x\r\ny"]);
    let nested = run(&["EVAL", "return {1, {'two', {}}}", "0"]);
    let two = Reply::Array(vec![Reply::Bulk(b"two".to_vec()), Reply::Array(Vec::new())]);
    assert_eq!(nested, Reply::Array(vec![Reply::Integer(1), two]));
    assert!(run(&["INCR", "a"]).error().unwrap().starts_with("ERR "));
    own.send(&["SUBSCRIBE", "channel"]).unwrap();
    assert_eq!(own.reply().unwrap(), subscribed());
    assert_eq!(
        redis.command(&["PUBLISH", "channel", "hello"]).integer(),
        Some(1)
    );
    assert_eq!(
        own.reply().unwrap().texts(),
        ["message", "channel", "hello"]
    );
}

fn subscribed() -> Reply {
    let words = ["subscribe", "channel"].map(|word| Reply::Bulk(word.into()));
    Reply::Array(words.into_iter().chain([Reply::Integer(1)]).collect())
}

#[test]
fn a_restart_keeps_the_address_and_forgets_the_data() {
    if skipped("a_restart_keeps_the_address_and_forgets_the_data") {
        return;
    }
    for mut redis in [Redis::start(&[]), Redis::unix(&[])] {
        let url = redis.url();
        assert_eq!(redis.command(&["SET", "a", "1"]), ok());
        redis.kill9();
        redis.try_command(&["PING"]).unwrap_err();
        redis.restart();
        assert_eq!(redis.url(), url);
        assert_eq!(redis.command(&["GET", "a"]), Reply::Nil);
        redis.restart();
        assert_eq!(redis.command(&["DBSIZE"]).integer(), Some(0));
    }
}

#[test]
fn a_stopped_server_accepts_and_is_silent() {
    if skipped("a_stopped_server_accepts_and_is_silent") {
        return;
    }
    let redis = Redis::start(&[]);
    redis.stop();
    let mut own = redis.connect().unwrap();
    own.send(&["INCR", "n"]).unwrap();
    let pid = redis.process().pid();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(stat.contains("(redis-server) T "), "{stat}");
    redis.cont();
    assert_eq!(own.reply().unwrap().integer(), Some(1));
}

#[test]
fn arguments_reach_the_server() {
    if skipped("arguments_reach_the_server") {
        return;
    }
    let ann = ["--user", "ann", "on", ">pw", "~a:*", "+@all"];
    let redis = Redis::start(&[&["--maxmemory", "2mb"][..], &ann].concat());
    assert_eq!(
        redis.command(&["CONFIG", "GET", "maxmemory"]).texts()[1],
        "2097152"
    );
    assert_eq!(redis.info("maxmemory"), 2 << 20);
    let mut own = redis.connect().unwrap();
    assert_eq!(own.command(&["AUTH", "ann", "pw"]).unwrap(), ok());
    let refused = own.command(&["SET", "b", "1"]).unwrap();
    assert!(
        refused.error().unwrap().starts_with("NOPERM"),
        "{refused:?}"
    );
    let filler = "x".repeat(1 << 20);
    let replies: Vec<_> = (0..4)
        .map(|n| redis.command(&["SET", &n.to_string(), &filler]))
        .collect();
    let full = |reply: &Reply| reply.error().is_some_and(|text| text.starts_with("OOM"));
    assert!(replies.iter().any(full), "{replies:?}");
}

#[test]
fn a_password_is_in_the_url() {
    if skipped("a_password_is_in_the_url") {
        return;
    }
    let extra = ["--requirepass", "word"];
    let redis = Redis::start(&extra);
    assert_eq!(redis.url(), format!("redis://:word@{}/0", redis.addr()));
    assert_eq!(redis.command(&["SET", "a", "1"]), ok());
    let mut own = Connection::tcp(redis.addr()).unwrap();
    let refused = own.command(&["GET", "a"]).unwrap();
    assert!(
        refused.error().unwrap().starts_with("NOAUTH"),
        "{refused:?}"
    );
    let redis = Redis::unix(&extra);
    let url = redis.url();
    assert!(
        url.starts_with("unix:///") && url.ends_with("?pass=word"),
        "{url}"
    );
    assert_eq!(redis.command(&["PING"]), Reply::Simple("PONG".to_owned()));
}

#[test]
fn tls_is_spoken_with_a_certificate_of_the_authority() {
    let test = "tls_is_spoken_with_a_certificate_of_the_authority";
    if skipped(test) || !machine::has_program(test, "openssl") {
        return;
    }
    let mut redis = Redis::tls(&[]);
    assert!(redis.url().starts_with("rediss://127.0.0.1:"));
    assert_eq!(redis.command(&["SET", "a", "1"]), ok());
    let verify = |redis: &Redis| {
        let mut client = Command::new("openssl");
        client.args([
            "s_client",
            "-verify_return_error",
            "-verify_ip",
            "127.0.0.1",
        ]);
        client.arg("-connect").arg(redis.addr().to_string());
        client.arg("-CAfile").arg(redis.certificates().authority());
        client.stdin(Stdio::null()).output().unwrap()
    };
    let output = verify(&redis);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    redis.restart();
    assert!(verify(&redis).status.success());
    let mut plain = Connection::tcp(redis.addr()).unwrap();
    plain.command(&["PING"]).unwrap_err();
}

#[test]
fn it_ends_with_its_handle() {
    if skipped("it_ends_with_its_handle") {
        return;
    }
    let redis = Redis::start(&[]);
    let addr = redis.addr();
    redis.stop();
    let start = std::time::Instant::now();
    drop(redis);
    assert!(start.elapsed() < Duration::from_secs(5));
    Connection::tcp(addr).unwrap_err();
}
