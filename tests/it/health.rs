//! What the example server tells whoever watches it.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_tests::config::CHUNK;
use steadfast_tests::http::{Connection, Request, Response, together};
use steadfast_tests::server::Server;
use steadfast_tests::wait;

const ALIVE: &str = "/health";
const READY: &str = "/health/ready";

/// More than the whole machine has.
const TOO_MUCH: &str = "[uploads]\nmin_free_space = \"1000000GB\"";

fn ask(server: &Server, path: &str) -> Response {
    Request::new("GET", path).send(server.addr())
}

/// The answer of a server that is not ready, which says when to ask again; its checks.
#[track_caller]
fn not_ready(response: Response) -> Value {
    let response = response.status_is(503);
    assert!(
        response
            .text("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    assert_eq!(response.text("cache-control").as_deref(), Some("no-store"));
    let mut body = response.json();
    assert_eq!(body["status"], "not_ready");
    body["checks"].take()
}

#[test]
fn a_live_server_says_what_it_is() {
    let server = Server::start("[uploads]\ndurability = \"process\"");
    let response = ask(&server, ALIVE).status_is(200);
    assert_eq!(response.text("cache-control").as_deref(), Some("no-store"));
    assert_eq!(
        response.text("content-type").as_deref(),
        Some("application/json")
    );
    let body = response.json();
    let moment = body["timestamp"].as_str().unwrap();
    assert!(moment.ends_with('Z'), "{moment} is UTC");
    let moment = humantime::parse_rfc3339(moment).unwrap();
    assert!(moment.elapsed().unwrap_or_default() < Duration::from_secs(60));
    assert!(!body["version"].as_str().unwrap().is_empty());
    assert_eq!(body["features"], json!(["chunked"]));
    assert_eq!(body["durability"], "process");
}

#[test]
fn what_is_off_is_no_feature() {
    let server = Server::start("[dialects]\nchunked = false");
    let body = ask(&server, ALIVE).status_is(200).json();
    assert_eq!(body["features"], json!([]));
    assert_eq!(body["durability"], "power");
    let _ = ask(&server, READY).status_is(200);
}

#[test]
fn a_server_that_is_well_is_ready() {
    let server = Server::start("");
    let response = ask(&server, READY).status_is(200);
    assert_eq!(response.text("cache-control").as_deref(), Some("no-store"));
    assert_eq!(response.text("retry-after"), None);
    let ok = json!({ "ok": true });
    let checks = json!({ "store": ok, "disk": ok, "drain": ok });
    assert_eq!(
        response.json(),
        json!({ "status": "ready", "checks": checks })
    );
}

#[test]
fn too_little_space_is_not_ready_and_alive() {
    let server = Server::start(TOO_MUCH);
    let checks = not_ready(ask(&server, READY));
    assert_eq!(checks["disk"]["ok"], false);
    let detail = checks["disk"]["detail"].as_str().unwrap();
    assert!(detail.contains("uploads.min_free_space"), "{detail}");
    for other in ["store", "drain"] {
        assert_eq!(checks[other], json!({ "ok": true }));
    }
    let _ = ask(&server, ALIVE).status_is(200);
    assert_eq!(
        server.logs().matches("not ready").count(),
        1,
        "it is told once"
    );
}

#[test]
fn a_state_directory_that_is_gone_is_not_ready_until_it_is_back() {
    let server = Server::start("");
    let elsewhere = server.work().join("elsewhere");
    std::fs::rename(server.state_dir(), &elsewhere).unwrap();
    let checks = wait::eventually("it is noticed", wait::SOON, || {
        let response = ask(&server, READY);
        (response.status != 200).then(|| not_ready(response))
    });
    assert_eq!(checks["disk"]["ok"], false);
    let work = server.work().to_string_lossy().into_owned();
    let said = checks.to_string();
    assert!(!said.contains(&work) && !said.contains("data/"), "{said}");
    assert!(server.logs().contains("No such file"), "the log says why");
    let _ = ask(&server, ALIVE).status_is(200);
    std::fs::rename(&elsewhere, server.state_dir()).unwrap();
    wait::until("it is ready again", wait::SOON, || {
        ask(&server, READY).status == 200
    });
}

#[test]
fn nobody_needs_a_signature() {
    let protect = "[security]\nprotect = [\"/health\", \"/health/ready\", \"/files\"]";
    let server = Server::start(protect);
    ask(&server, "/files").refused(401, "signature_missing");
    for path in [ALIVE, READY] {
        let _ = ask(&server, path).status_is(200);
        let query = format!("{path}?from=the-balancer");
        let wrong = Request::new("GET", &query).header("X-Signature", "0000");
        let _ = wrong.send(server.addr()).status_is(200);
    }
}

#[test]
fn head_is_get_without_the_body() {
    for (extra, status) in [("", 200), (TOO_MUCH, 503)] {
        let server = Server::start(extra);
        let mut connection = Connection::open(server.addr());
        for (path, status) in [(ALIVE, 200), (READY, status)] {
            let request = Request::new("GET", path);
            let get = connection.exchange(&request).unwrap().status_is(status);
            let head = connection.exchange(&request.method("HEAD")).unwrap();
            let head = head.status_is(status);
            for name in [
                "content-type",
                "content-length",
                "cache-control",
                "retry-after",
            ] {
                assert_eq!(head.text(name), get.text(name), "{path}: {name}");
            }
        }
    }
}

#[test]
fn other_methods_are_refused() {
    let server = Server::start("");
    for path in [ALIVE, READY] {
        let refused = Request::new("POST", path).body("x").send(server.addr());
        assert_eq!(refused.status_is(405).text("allow").unwrap(), "GET,HEAD");
    }
}

/// Who asks often gets answers, and nobody's upload suffers.
#[test]
fn anybody_may_ask_as_often_as_they_like() {
    let server = Server::start("");
    let session = server.client().create("busy.bin", CHUNK);
    let _ = together(8, |_| {
        let mut connection = Connection::open(server.addr());
        for _ in 0..250 {
            for path in [ALIVE, READY] {
                let answer = connection.exchange(&Request::new("GET", path));
                let _ = answer.unwrap().status_is(200);
            }
        }
    });
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
}

/// The port and idle connections are closed at once then; what is left is a request on its way.
#[test]
fn a_server_that_ends_is_not_ready() {
    let mut server = Server::start("");
    let request = Request::new("GET", READY).head();
    let (begin, rest) = request.split_at(request.len() - 2);
    let mut open: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = Connection::open(server.addr());
            connection.write(begin).unwrap();
            connection
        })
        .collect();
    // An answer to a later connection: those before it are being served.
    let _ = ask(&server, READY).status_is(200);
    server.process().ask_to_end();
    wait::until("it ends", wait::SOON, || {
        Connection::try_open(server.addr()).is_err()
    });
    let checks = wait::eventually("it says so", wait::SOON, || {
        let mut connection = open.pop().expect("a connection that is left");
        connection.write(rest).unwrap();
        let response = connection.response("GET").unwrap();
        (response.status != 200).then(|| not_ready(response))
    });
    assert_eq!(checks["drain"]["ok"], false);
    assert_eq!(checks["disk"], json!({ "ok": true }));
    drop(open);
    assert!(server.terminate().success());
}
