//! The shape of every refusal: protocol section 0 (RFC 9457).

use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, SECRET};
use steadfast_tests::data;
use steadfast_tests::http::{Request, Response};
use steadfast_tests::script::{Answer, Reply, Script};
use steadfast_tests::server::Server;
use steadfast_tests::upload::{CHUNKED, Session};

#[track_caller]
fn assert_problem(what: &str, response: &Response, secrets: &[&str]) {
    let shown = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(
        response.text("content-type").as_deref(),
        Some("application/problem+json"),
        "{what}: {shown}"
    );
    assert_eq!(
        response.text("cache-control").as_deref(),
        Some("no-store"),
        "{what}"
    );
    assert_eq!(
        response.text("x-content-type-options").as_deref(),
        Some("nosniff"),
        "{what}"
    );
    let problem = response.json();
    for field in ["type", "title", "detail", "code"] {
        let text = problem[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{what}: no {field}: {shown}");
    }
    assert_eq!(problem["status"], response.status, "{what}");
    let code = problem["code"].as_str().unwrap();
    assert!(
        code.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
        "{what}: {code}"
    );
    let known = [
        "type",
        "title",
        "status",
        "detail",
        "code",
        "key",
        "expected",
        "retry_after",
    ];
    for field in problem.as_object().expect("an object").keys() {
        assert!(known.contains(&field.as_str()), "{what}: what is {field}?");
    }
    if let Some(key) = problem.get("key").and_then(serde_json::Value::as_str) {
        assert_eq!(key.len(), 22, "{what}: the key, never the id: {key}");
    }
    if [429, 503, 507].contains(&response.status) {
        let after = response
            .text("retry-after")
            .unwrap_or_else(|| panic!("{what}: no Retry-After"));
        assert!(after.parse::<u64>().is_ok(), "{what}: {after}");
    }
    let everything = format!("{:?} {shown}", response.headers);
    for secret in secrets {
        assert!(
            !everything.contains(secret),
            "{what}: {secret} is told: {everything}"
        );
    }
}

fn refusals(server: &Server, session: &Session) -> Vec<(&'static str, Request, u16)> {
    let client = server.client();
    let create = client.create_request("e.bin", 10);
    let chunk = client.chunk_request(session, 1, &[1; CHUNK]);
    let unknown = Request::new("GET", "/upload/status?session_id=../../etc/passwd");
    let delete = Request::new("DELETE", CHUNKED);
    vec![
        ("missing_header", create.clone().without("X-Filename"), 400),
        (
            "bad_number",
            create.clone().replace("X-Total-Size", "-1"),
            400,
        ),
        (
            "bad_filename",
            create.clone().replace("X-Filename", "../../etc/passwd"),
            400,
        ),
        (
            "bad_digest",
            create.clone().header("Repr-Digest", "sha-256=:x:"),
            400,
        ),
        ("unexpected_body", create.clone().body("x"), 400),
        (
            "duplicate_header",
            create.clone().header("X-Total-Size", "10"),
            400,
        ),
        (
            "signature_missing",
            create.clone().without("X-Signature"),
            401,
        ),
        (
            "signature",
            create.clone().replace("X-Signature", "0".repeat(64)),
            401,
        ),
        (
            "too_large",
            create.clone().replace("X-Total-Size", i64::MAX.to_string()),
            413,
        ),
        (
            "idempotency",
            create.header("Idempotency-Key", "short"),
            400,
        ),
        (
            "chunk_range",
            chunk.clone().replace("X-Chunk-Number", "77"),
            400,
        ),
        ("chunk_length", chunk.clone().body("short"), 400),
        (
            "bad number of a chunk",
            chunk.clone().replace("X-Chunk-Number", "1e0"),
            400,
        ),
        (
            "chunk_conflict",
            client.chunk_request(session, 0, &[2; CHUNK]),
            409,
        ),
        (
            "digest_mismatch",
            chunk.header("Content-Digest", data::digest_sha256(b"")),
            400,
        ),
        ("no_session", unknown, 404),
        (
            "no session to cancel",
            delete.clone().header("X-Upload-Session-ID", "x"),
            404,
        ),
        ("nothing to cancel", delete, 400),
        (
            "missing_parameter",
            Request::new("GET", "/upload/status"),
            400,
        ),
        (
            "unsigned request to the app",
            Request::new("POST", "/upload").body("x"),
            401,
        ),
    ]
}

#[test]
fn every_refusal_is_a_problem() {
    let server = Server::start("");
    let session = server.client().create("problems.bin", 10 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    let work = server.work().to_string_lossy().into_owned();
    let secrets = [SECRET, &session.id, work.as_str(), "/etc", "src/", ".rs"];
    for (what, request, status) in refusals(&server, &session) {
        let response = request.send(server.addr());
        assert_eq!(
            response.status,
            status,
            "{what}: {}",
            String::from_utf8_lossy(&response.body)
        );
        assert_problem(what, &response, &secrets);
    }
}

#[test]
fn refusals_for_want_of_room_say_when_to_return() {
    let server = Server::start("[uploads]\nmax_sessions = 1");
    let _ = server.client().create("1.bin", 10);
    let response = server
        .client()
        .create_request("2.bin", 10)
        .send(server.addr())
        .status_is(429);
    assert_problem("429", &response, &[SECRET]);
    let server = Server::start("[uploads]\nmin_free_space = \"1000000GB\"");
    let response = server
        .client()
        .create_request("2.bin", 10)
        .send(server.addr())
        .status_is(507);
    assert_problem(
        "507",
        &response,
        &[SECRET, &server.work().to_string_lossy()],
    );
}

#[test]
fn refusals_after_a_session_ended_are_problems() {
    let server = Server::start("");
    let session = server.client().create("over.bin", 10);
    let _ = server.client().cancel(&session).status_is(204);
    let response = server
        .client()
        .put(&session, 0, b"0123456789")
        .status_is(410);
    assert_problem("cancelled", &response, &[SECRET, &session.id]);
    let (session, last) = server.client().upload("done.bin", b"0123456789");
    let _ = last.status_is(200);
    let response = server.client().cancel(&session).status_is(409);
    assert_problem("completed", &response, &[SECRET, &session.id]);
}

#[test]
fn an_unknown_outcome_is_a_problem() {
    let app = App::start(
        "[delivery]\non_unknown = \"hold\"",
        Script::always(Reply::Panic),
    );
    let (session, last) = app.client().upload("unknown.bin", b"0123456789");
    assert_problem(
        "handoff_unknown",
        &last.status_is(409),
        &[SECRET, &session.id, "on purpose"],
    );
}

#[test]
fn an_undelivered_upload_tells_no_secrets() {
    let app = App::start(
        "",
        Script::always(Answer::text(503, "not now").header("set-cookie", "a=b")),
    );
    let (session, last) = app.client().upload("waiting.bin", b"0123456789");
    assert_eq!(last.status, 503);
    assert!(last.text("set-cookie").is_none());
    assert!(last.text("retry-after").is_some());
    assert!(!data::contains(&last.body, session.id.as_bytes()));
}

#[test]
fn other_methods_are_told_which_ones_there_are() {
    let server = Server::start("");
    let cases = [
        (
            CHUNKED,
            ["GET", "PATCH", "HEAD"].as_slice(),
            ["POST", "PUT", "DELETE"].as_slice(),
        ),
        (
            "/upload/status",
            &["POST", "PUT", "DELETE", "PATCH"],
            &["GET", "HEAD"],
        ),
    ];
    for (path, wrong, right) in cases {
        for method in wrong {
            let response = Request::new(method, path)
                .send(server.addr())
                .status_is(405);
            let allow = response.text("allow").expect("the methods there are");
            let named: Vec<&str> = allow.split(',').map(str::trim).collect();
            assert!(right.iter().all(|method| named.contains(method)), "{allow}");
            assert!(!named.contains(method), "{allow}");
            if *method != "HEAD" {
                assert_problem(&format!("{method} {path}"), &response, &[SECRET]);
            }
        }
    }
}

#[test]
fn options_name_the_methods() {
    let server = Server::start("");
    for (path, right) in [
        (CHUNKED, ["POST", "PUT", "DELETE"].as_slice()),
        ("/upload/status", &["GET", "HEAD"]),
    ] {
        let response = Request::new("OPTIONS", path).send(server.addr()).success();
        let allow = response.text("allow").expect("the methods there are");
        let named: Vec<&str> = allow.split(',').map(str::trim).collect();
        assert!(right.iter().all(|method| named.contains(method)), "{allow}");
    }
}

#[test]
fn a_browser_may_ask_from_another_site() {
    let server = Server::start("");
    let preflight = Request::new("OPTIONS", CHUNKED).header("Origin", "https://app.example");
    let preflight = preflight.header("Access-Control-Request-Method", "PUT");
    let preflight = preflight.header(
        "Access-Control-Request-Headers",
        "x-upload-session-id,x-chunk-number",
    );
    let response = preflight.send(server.addr()).success();
    assert!(
        response.text("access-control-allow-origin").is_some(),
        "{:?}",
        response.headers
    );
    let unknown = server
        .client()
        .status_request("x")
        .header("Origin", "https://app.example")
        .send(server.addr());
    assert!(
        unknown.text("access-control-allow-origin").is_some(),
        "also on refusals: {:?}",
        unknown.headers
    );
    assert!(unknown.text("access-control-expose-headers").is_some());
}

#[test]
fn successes_are_not_cached_either() {
    let server = Server::start("");
    let created = server
        .client()
        .create_request("c.bin", CHUNK + 1)
        .send(server.addr())
        .status_is(201);
    let session = Session::from_answer(created.json());
    let chunk = server.client().put(&session, 0, &[1; CHUNK]);
    let status = server.client().ask(&session.id);
    let last = server.client().put(&session, 1, &[1; 1]);
    for response in [created, chunk, status, last] {
        assert_eq!(
            response.text("content-type").as_deref(),
            Some("application/json")
        );
        assert_eq!(response.text("cache-control").as_deref(), Some("no-store"));
        assert_eq!(
            response.text("x-content-type-options").as_deref(),
            Some("nosniff")
        );
    }
}
