//! Limits on what one client may send in a second.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request, Response, timed, together};
use steadfast_tests::server::Server;
use steadfast_tests::upload::{CHUNKED, Session};
use steadfast_tests::wait::{self, SOON};

/// Few requests, so that a slow machine cannot get them all back before it has used them up.
const FEW: &str = "[limits]\nrequests_per_second = 1\nburst = 4";

/// Whatever the clients of this proxy say they are.
const PROXY: &str =
    "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[limits]\nrequests_per_second = 1\nburst = 4";

const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The first answer that is a refusal for too many requests.
#[track_caller]
fn refused(what: &str, send: impl Fn() -> Response) -> Response {
    wait::eventually(what, SOON, || {
        let answer = send();
        (answer.status == 429).then_some(answer)
    })
    .refused(429, "rate_limited")
}

fn seconds(answer: &Response) -> u64 {
    let after = answer.text("retry-after").expect("when to come back");
    assert_eq!(answer.json()["retry_after"].to_string(), after);
    after.parse().expect("whole seconds")
}

fn create_from(server: &Server, from: Ipv4Addr) -> Response {
    let request = server.client().create_request("a.bin", 10);
    Connection::open_from(from.into(), server.addr())
        .exchange(&request)
        .unwrap()
}

#[test]
fn a_client_that_comes_back_when_it_is_told_gets_through() {
    let server = Server::start(FEW);
    let create = server.client().create_request("a.bin", 10);
    let answer = refused("creates", || create.send(server.addr()));
    let (after, refused_at) = (seconds(&answer), Instant::now());
    assert_eq!(after, 1);
    wait::until("it may come back", SOON, || {
        refused_at.elapsed().as_secs() >= after
    });
    let _ = server.client().open(&create);
}

#[test]
fn another_address_is_not_slowed() {
    let server = Server::start(FEW);
    refused("creates", || create_from(&server, OTHER));
    let _ = create_from(&server, Ipv4Addr::LOCALHOST).status_is(201);
    refused("still", || create_from(&server, OTHER));
}

/// Each of them costs an HMAC otherwise.
#[test]
fn unsigned_requests_are_counted_before_their_signature_is_looked_at() {
    let server = Server::start(FEW);
    let create = server
        .client()
        .create_request("a.bin", 10)
        .without("X-Signature");
    let (took, answers) = timed(|| together(40, |_| create.send(server.addr())));
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    let most = 4 + took.as_secs() as usize + 1;
    assert!(
        (1..=most).contains(&looked_at),
        "{looked_at} of 40 in {took:?}"
    );
    for answer in answers.into_iter().filter(|answer| answer.status != 401) {
        answer.refused(429, "rate_limited");
    }
}

#[test]
fn every_request_of_ours_counts_and_no_other() {
    let server = Server::start(FEW);
    let session = server.client().create("a.bin", 2 * CHUNK);
    let events = Request::new("GET", &format!("/upload/events?session_id={}", session.id));
    let all = [
        server.client().create_request("a.bin", 10),
        server.client().chunk_request(&session, 0, &[0; CHUNK]),
        server.client().status_request(&session.id),
        events.method("HEAD"),
        Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", "unknown"),
        Request::new("POST", "/upload").body("unsigned"),
    ];
    for (number, request) in (10..).zip(all) {
        let from = Ipv4Addr::new(127, 0, 0, number).into();
        wait::until(&format!("{request:?}"), SOON, || {
            let mut connection = Connection::open_from(from, server.addr());
            connection.exchange(&request).unwrap().status == 429
        });
    }
    for path in ["/health", "/health/ready", "/files"] {
        for _ in 0..20 {
            let answer = Request::new("GET", path).send(server.addr());
            assert_ne!(answer.status, 429, "{path}");
        }
    }
}

#[test]
fn the_verdict_comes_before_the_body() {
    let server = Server::start(FEW);
    let session = server.client().create("a.bin", CHUNK);
    refused("status", || server.client().ask(&session.id));
    let chunk = server.client().chunk_request(&session, 0, &[0; CHUNK]);
    let answer = wait::eventually("no 100", SOON, || {
        Connection::open(server.addr()).offer(&chunk)
    });
    answer.refused(429, "rate_limited");
    // Who writes first and reads then can read the answer.
    refused("a chunk", || chunk.send(server.addr()));
}

/// Requests of an owner, who has a key of its own, over other addresses each.
#[test]
fn owners_are_counted_wherever_they_come_from() {
    let key = |id: &str, secret: &str| {
        format!("[[security.keys]]\nid = \"{id}\"\nsecret = \"{secret}\"\n")
    };
    let (a, b) = ("a-0123456789abcdef", "b-0123456789abcdef");
    let keys = format!("{PROXY}\n{}{}", key("a", a), key("b", b));
    let server = Server::with(&Config::default().without("security", "secret").and(&keys));
    let mut next = 0_u32;
    let mut roam = |request: &Request| {
        next += 1;
        let address = Ipv4Addr::from_bits(0x0a00_0000 + next).to_string();
        request
            .clone()
            .header("X-Forwarded-For", address)
            .send(server.addr())
    };
    let create = |secret: &str| {
        let signature = data::hmac_hex(secret, CHUNKED);
        server
            .client()
            .create_request("a.bin", 10)
            .replace("X-Signature", signature)
    };
    let mut open = |secret| Session::from_answer(roam(&create(secret)).status_is(201).json());
    let [of_a, of_b] = [open(a), open(b)];
    let status = server.client().status_request(&of_a.id);
    wait::until("a has used up its requests", SOON, || {
        let answer = roam(&status);
        answer.status == 429 && answer.json()["code"] == "rate_limited"
    });
    let _ = roam(&server.client().status_request(&of_b.id)).status_is(200);
    let _ = roam(&create(b)).status_is(201);
}

#[test]
fn a_new_limit_acts_at_once() {
    let server = Server::start("");
    let session = server.client().create("a.bin", 10);
    for _ in 0..50 {
        let _ = server.client().status(&session);
    }
    std::fs::write(server.config_file(), server.config_with(FEW)).unwrap();
    refused("status", || server.client().ask(&session.id));
    std::fs::write(server.config_file(), server.config_with("")).unwrap();
    wait::until("no limit", SOON, || {
        (0..50).all(|_| server.client().ask(&session.id).status == 200)
    });
}

/// 3 MiB at 1 MiB a second, of which one may come at once, and the last reads need not be paid for.
const AT_LEAST: Duration = Duration::from_millis(1_300);

const BANDWIDTH: &str =
    "[limits]\nbandwidth = \"1MB\"\n[uploads]\nchunk_size = \"1MB\"\nstall_timeout = \"1s\"";

#[test]
fn bytes_come_no_faster_than_they_may() {
    let server = Server::start(BANDWIDTH);
    let file = data::random(1, 3 << 20);
    let (took, (_, last)) = timed(|| server.client().upload("a.bin", &file));
    assert_eq!(last.status_is(200).json()["completed"], true);
    assert!(took >= AT_LEAST, "{took:?}");
    assert_eq!(
        std::fs::read(server.uploads_dir().join("a.bin")).unwrap(),
        file
    );
}

#[test]
fn uploads_of_one_client_share_what_it_may_send() {
    let server = Server::start(BANDWIDTH);
    let (took, _) = timed(|| {
        together(3, |number| {
            let file = data::random(number as u64, 1 << 20);
            let (_, last) = server.client().upload(&format!("{number}.bin"), &file);
            last.status_is(200)
        })
    });
    assert!(took >= AT_LEAST, "{took:?}");
}

/// Uploads of another address would be among those that share it, and last in the line.
#[test]
fn addresses_do_not_share_what_they_may_send() {
    let server = Server::start("[limits]\nbandwidth = \"512KB\"");
    let client = server.client();
    let bytes = vec![7; CHUNK];
    let put_from = |from: Ipv4Addr, session: &Session| {
        let chunk = client.chunk_request(session, 0, &bytes);
        let mut connection = Connection::open_from(from.into(), server.addr());
        connection.exchange(&chunk).unwrap().status_is(200)
    };
    let many = 512 * 1024 / CHUNK * 4;
    let busy: Vec<_> = (0..many).map(|_| client.create("a.bin", CHUNK)).collect();
    let other = client.create("b.bin", CHUNK);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            together(many, |index| {
                let _ = put_from(OTHER, &busy[index]);
                answered.fetch_add(1, Ordering::Relaxed);
            })
        });
        // Of those a second's worth may come at once.
        let some = many / 4;
        wait::until("it is used up", SOON, || {
            answered.load(Ordering::Relaxed) >= some
        });
        let _ = put_from(Ipv4Addr::LOCALHOST, &other);
        let before = answered.load(Ordering::Relaxed);
        assert!(before < many * 3 / 4, "{before} of {many} were first");
        first.join().unwrap();
    });
}
