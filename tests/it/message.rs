//! The signature scheme `message`: protocol section 4, RFC 9421.

use std::fs;
use std::sync::Barrier;

use steadfast_tests::config::{CHUNK, Config, SECRET};
use steadfast_tests::data;
use steadfast_tests::http::{Request, Response, together};
use steadfast_tests::message::{self, Signing, now};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, Session, sign};
use steadfast_tests::wait::{self, SOON};

use crate::fleet::Fleet;

/// Nothing but such signatures.
pub(crate) const MESSAGE: &str = "[security]\nschemes = [\"message\"]";
/// Every request for an upload has one.
pub(crate) const ALL: &str = "[security]\nschemes = [\"message\"]\nsign_chunks = true";

pub(crate) fn create_request(name: &str, size: usize) -> Request {
    let request = Request::new("POST", CHUNKED).header("X-Filename", name);
    request.header("X-Total-Size", size.to_string())
}

pub(crate) fn chunk_request(session: &Session, index: usize, bytes: &[u8]) -> Request {
    let request = Request::new("PUT", CHUNKED).header("X-Upload-Session-ID", &session.id);
    let request = request.header("X-Chunk-Number", index.to_string());
    let request = request.header("Content-Digest", data::digest_sha256(bytes));
    request.body(bytes)
}

pub(crate) fn status_request(session: &Session) -> Request {
    let id = &session.id;
    Request::new("GET", &format!("/upload/status?session_id={id}"))
}

pub(crate) fn created(server: &Server, size: usize) -> Session {
    let request = Signing::default().sign(create_request("signed.bin", size), message::CREATE);
    Session::from_answer(request.send(server.addr()).status_is(201).json())
}

/// What a refusal says.
pub(crate) fn detail(refusal: &Response) -> String {
    refusal.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn an_upload_is_signed_from_end_to_end() {
    let server = Server::start(ALL);
    let file = data::random(1, 2 * CHUNK);
    let session = created(&server, file.len());
    for index in 0..2 {
        let chunk = chunk_request(&session, index, session.chunk(&file, index));
        let _ = chunk.send(server.addr()).refused(401, "signature_missing");
        let chunk = Signing::default().sign(chunk, message::CHUNK);
        let _ = chunk.send(server.addr()).status_is(200);
        let status = status_request(&session);
        let _ = status.send(server.addr()).refused(401, "signature_missing");
        let status = Signing::default().sign(status, message::STATUS);
        let status = status.send(server.addr()).status_is(200).json();
        assert_eq!(status["completed"], index == 1);
    }
    assert_eq!(tree::holding(&server.uploads_dir(), &file).len(), 1);
}

/// Without `sign_chunks` the session id is enough, as the guide has it.
#[test]
fn only_the_create_is_signed_unless_more_is_asked_for() {
    let server = Server::start(MESSAGE);
    let file = data::random(2, CHUNK);
    let session = created(&server, file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    let path = create_request("path.bin", 10).header("X-Signature", sign(CHUNKED));
    let _ = path.send(server.addr()).refused(401, "signature_missing");
}

#[test]
fn where_both_schemes_are_on_one_is_enough() {
    let server = Server::start("[security]\nschemes = [\"message\", \"path\"]");
    let _ = created(&server, 10);
    let _ = server.client().create("path.bin", 10);
    let both = create_request("both.bin", 10).header("X-Signature", sign(CHUNKED));
    let other = Signing::by("unknown", "another secret of this server");
    let _ = other
        .sign(both, message::CREATE)
        .send(server.addr())
        .status_is(201);
    let refusal = create_request("none.bin", 10).send(server.addr());
    let refusal = refusal.refused(401, "signature_missing");
    let said = detail(&refusal);
    assert!(
        said.contains("RFC 9421") && said.contains("x-signature"),
        "{said}"
    );
}

#[test]
fn what_is_left_out_is_named() {
    let server = Server::start(ALL);
    let create = |components: &[&str]| {
        let request =
            create_request("part.bin", 10).header("Repr-Digest", data::digest_sha256(b"x"));
        let request = Signing::default().sign(request, components);
        request
            .send(server.addr())
            .refused(401, "signature_incomplete")
    };
    let refusal = create(&["@method", "@path", "x-filename", "x-total-size"]);
    assert!(
        detail(&refusal).ends_with(": @authority, repr-digest."),
        "{}",
        detail(&refusal)
    );
    let wanted = refusal.text("accept-signature").unwrap();
    let names = r#"("@authority" "@method" "@path" "x-filename" "x-total-size" "repr-digest")"#;
    assert_eq!(
        wanted,
        format!("steadfast={names};created;keyid;alg=\"hmac-sha256\"")
    );
    assert_eq!(
        refusal.text("www-authenticate").unwrap(),
        "Signature algorithm=\"hmac-sha256\""
    );

    let session = created(&server, CHUNK);
    let chunk = chunk_request(&session, 0, &[7; CHUNK]);
    for left_out in message::CHUNK {
        let rest: Vec<_> = message::CHUNK
            .iter()
            .copied()
            .filter(|name| name != left_out)
            .collect();
        let refusal = Signing::default()
            .sign(chunk.clone(), &rest)
            .send(server.addr());
        let refusal = refusal.refused(401, "signature_incomplete");
        assert!(
            detail(&refusal).ends_with(&format!(": {left_out}.")),
            "{}",
            detail(&refusal)
        );
    }
    let unsized_parameters = create_request("bare.bin", 10)
        .header("Signature-Input", "sig=();created=1")
        .header("Signature", "sig=:AAAA:");
    let refusal = unsized_parameters
        .send(server.addr())
        .refused(401, "signature_incomplete");
    assert!(
        detail(&refusal).ends_with("x-total-size, keyid, nonce."),
        "{}",
        detail(&refusal)
    );
}

/// The name of a file that no header can hold as it is.
#[test]
fn another_header_that_names_the_file_is_signed_in_its_place() {
    let server = Server::start(MESSAGE);
    let named = |components: &[&str]| {
        let request = Request::new("POST", CHUNKED).header("X-Total-Size", "3");
        let name = "attachment; filename*=UTF-8''%E2%82%AC.bin";
        let request = request.header("Content-Disposition", name);
        Signing::default().sign(request, components)
    };
    let whole = [
        "@method",
        "@authority",
        "@path",
        "content-disposition",
        "x-total-size",
    ];
    let request = named(&whole);
    let _ = request.send(server.addr()).status_is(201);
    // One that is put beside it would count before it.
    let stolen = named(&whole).header("X-Filename", "other.bin");
    let _ = stolen
        .send(server.addr())
        .refused(401, "signature_incomplete");
    let without: Vec<_> = whole
        .into_iter()
        .filter(|name| *name != "content-disposition")
        .collect();
    let _ = named(&without)
        .send(server.addr())
        .refused(401, "signature_incomplete");
}

#[test]
fn who_has_a_wrong_clock_is_told_the_time() {
    let server = Server::start("[security]\nschemes = [\"message\"]\nmax_skew = \"60s\"");
    // Far from the bounds: the seconds that this takes do not count.
    for (created, passes) in [
        (now() - 120, false),
        (now() + 120, false),
        (now() + 30, true),
    ] {
        let request = Signing::at(created).sign(create_request("late.bin", 10), message::CREATE);
        let answer = request.send(server.addr());
        if passes {
            let _ = answer.status_is(201);
            continue;
        }
        let refusal = answer.refused(401, "signature_expired");
        let said = refusal.json()["server_time"].as_str().unwrap().to_owned();
        let said = humantime::parse_rfc3339(&said).unwrap();
        let said = said
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(said.abs_diff(now()) < 20, "{said}");
    }
}

/// A server that has just begun does not know what an earlier one took.
#[test]
fn what_was_signed_before_the_server_began_does_not_pass() {
    let mut server = Server::start(MESSAGE);
    let request =
        |created| Signing::at(created).sign(create_request("again.bin", 10), message::CREATE);
    let taken = request(now());
    let _ = taken.send(server.addr()).status_is(201);
    let _ = taken.send(server.addr()).refused(401, "signature_replayed");
    server.restart();
    let refusal = taken.send(server.addr()).refused(503, "busy");
    assert!(refusal.text("retry-after").is_some());
    let _ = request(now()).send(server.addr()).status_is(201);
}

#[test]
fn what_one_server_took_the_others_do_not() {
    let test = "what_one_server_took_the_others_do_not";
    let Some(fleet) = Fleet::start(test, 2, MESSAGE) else {
        return;
    };
    let (one, other) = (fleet.servers[0].addr(), fleet.servers[1].addr());
    // Until Redis has noted since when it knows.
    let mut taken = None;
    wait::until("a create passes", SOON, || {
        let request = Signing::default().sign(create_request("once.bin", 10), message::CREATE);
        let passes = request.send(one).status == 201;
        taken = Some(request);
        passes
    });
    let taken = taken.unwrap();
    let _ = taken.send(other).refused(401, "signature_replayed");
    let _ = taken.send(one).refused(401, "signature_replayed");
    let another = Signing::default().sign(create_request("once.bin", 10), message::CREATE);
    let _ = another.send(other).status_is(201);
}

/// Nobody knows what was used: so nothing passes, and nothing that was passes later.
#[test]
fn when_redis_is_away_or_has_lost_everything_nothing_old_passes() {
    let test = "when_redis_is_away_or_has_lost_everything_nothing_old_passes";
    let Some(mut fleet) = Fleet::start(test, 1, MESSAGE) else {
        return;
    };
    let addr = fleet.servers[0].addr();
    let request = || Signing::default().sign(create_request("once.bin", 10), message::CREATE);
    let mut taken = request();
    wait::until("a create passes", SOON, || {
        taken = request();
        taken.send(addr).status == 201
    });
    let unsent = request();
    fleet.redis.kill9();
    wait::until("Redis is missed", SOON, || {
        request().send(addr).status == 503
    });
    fleet.redis.restart();
    wait::until("Redis is found", SOON, || {
        request().send(addr).status == 201
    });
    // The server knows of what it took itself; of all else nobody does.
    let _ = taken.send(addr).refused(401, "signature_replayed");
    let _ = unsent.send(addr).refused(503, "busy");
}

/// As after a failover to a replica, or from a backup: what was used since is not known.
#[test]
fn what_a_redis_from_a_snapshot_does_not_know_does_not_pass() {
    let test = "what_a_redis_from_a_snapshot_does_not_know_does_not_pass";
    let Some(mut fleet) = Fleet::start(test, 2, MESSAGE) else {
        return;
    };
    let [one, other] = [0, 1].map(|server: usize| fleet.servers[server].addr());
    let request = || Signing::default().sign(create_request("once.bin", 10), message::CREATE);
    wait::until("a create passes", SOON, || {
        request().send(one).status == 201
    });
    assert_eq!(fleet.redis.command(&["SAVE"]).error(), None);
    let taken = request();
    let _ = taken.send(one).status_is(201);
    // Some are on their way when it goes, and some come first when it is back.
    let more: Vec<_> = (0..1_600).map(|_| request()).collect();
    for request in &more {
        let _ = request.send(one).status_is(201);
    }
    let is_back = Barrier::new(4 + 1);
    let answers = std::thread::scope(|scope| {
        let trying = scope.spawn(|| {
            let try_some = |part: usize| {
                let (before, after) = more[part * 400..][..400].split_at(100);
                let try_all = |some: &[Request]| -> Vec<_> {
                    some.iter()
                        .map(|request| request.send(other).status)
                        .collect()
                };
                let tried = try_all(before);
                is_back.wait();
                [tried, try_all(after)].concat()
            };
            together::<Vec<_>>(4, try_some).concat()
        });
        fleet.redis.restart();
        is_back.wait();
        trying.join().unwrap()
    });
    assert!(!answers.contains(&201), "{answers:?}");
    let kept = fleet.redis.command(&["DBSIZE"]);
    assert_ne!(kept.integer(), Some(0), "it was restored");
    // From the moment that anything passes.
    wait::until("Redis is found", SOON, || {
        request().send(other).status == 201
    });
    let _ = taken.send(other).refused(503, "busy");
    let _ = taken.send(one).refused(401, "signature_replayed");
}

#[test]
fn keys_are_told_apart_and_end() {
    let keys = "[[security.keys]]\nid = \"new\"\nsecret = \"the new secret of the ring 2026\"\n\
                [[security.keys]]\nid = \"old\"\nsecret = \"the old secret of the ring 2025\"\n";
    let config = |keys: &str| {
        let config =
            Config::with("[security]\nschemes = [\"message\"]").without("security", "secret");
        config.and(keys)
    };
    let server = Server::with(&config(keys));
    let create = |id: &str, secret: &str| {
        let request = Signing::by(id, secret).sign(create_request("ring.bin", 10), message::CREATE);
        request.send(server.addr())
    };
    let (new, old) = (
        "the new secret of the ring 2026",
        "the old secret of the ring 2025",
    );
    let _ = create("new", new).status_is(201);
    let _ = create("old", old).status_is(201);
    for (id, secret) in [
        ("new", old),
        ("old", new),
        ("other", new),
        ("", new),
        ("new", SECRET),
    ] {
        let _ = create(id, secret).refused(401, "signature_invalid");
    }
    // The old one ends while the server runs.
    let ended = keys.replace("2025\"\n", "2025\"\nnot_after = 2026-01-01T00:00:00Z\n");
    let text = server.config_with(&ended);
    fs::write(server.config_file(), text).unwrap();
    wait::until("the key has ended", SOON, || {
        create("old", old).status == 401
    });
    let _ = create("old", old).refused(401, "signature_invalid");
    let _ = create("new", new).status_is(201);
}

/// As Kubernetes does it, or an operator with `mv`.
#[test]
fn a_secret_that_is_replaced_in_its_file_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let secret = |text: &str| {
        let new = dir.path().join("secret.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &file).unwrap();
    };
    let (first, second) = (
        "the first secret of the file....",
        "the second secret of the file...",
    );
    secret(first);
    let config = Config::with(MESSAGE).without("security", "secret");
    let server = Server::with(&config.set("security", "secret_file", file.to_str().unwrap()));
    let create = |secret: &str| {
        let signing = Signing::by("default", secret);
        let request = signing.sign(create_request("file.bin", 10), message::CREATE);
        request.send(server.addr()).status
    };
    assert_eq!((create(first), create(second)), (201, 401));
    secret("short");
    wait::until("it is refused", SOON, || {
        server.logs().contains("the secret stays as it is")
    });
    assert_eq!((create(first), create(second)), (201, 401));
    secret(second);
    wait::until("it is taken up", SOON, || create(second) == 201);
    assert_eq!(create(first), 401);
    assert!(
        !server.logs().contains("secret of the file"),
        "{}",
        server.logs()
    );
}
