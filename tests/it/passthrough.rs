//! Requests that are not ours: design invariant 10.

use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request};
use steadfast_tests::script::{Answer, Reply, Script};
use steadfast_tests::server::Server;
use steadfast_tests::upload::sign;

fn form(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--b0und\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n--b0und--\r\n"].concat()
}

fn post_form() -> Request {
    Request::new("POST", "/upload")
        .header("Content-Type", "multipart/form-data; boundary=b0und")
        .header("X-Signature", sign("/upload"))
}

#[test]
fn the_old_upload_works_as_before() {
    let server = Server::start("");
    let file = data::random(1, 3 << 20);
    let response = post_form()
        .body(form("plain.bin", &file))
        .send(server.addr())
        .status_is(201);
    assert_eq!(response.json()["name"], "plain.bin");
    assert!(std::fs::read(server.uploads_dir().join("plain.bin")).unwrap() == file);
    let unknown_length = post_form().chunked(&form("streamed.bin", &file), 60_000);
    let _ = unknown_length.send(server.addr()).status_is(201);
    assert!(std::fs::read(server.uploads_dir().join("streamed.bin")).unwrap() == file);
}

#[test]
fn both_ways_give_the_same_answer() {
    let server = Server::start("");
    let file = data::random(2, CHUNK + 3);
    let plain = post_form()
        .body(form("same.bin", &file))
        .send(server.addr())
        .status_is(201);
    let other = Server::start("");
    let handler = other
        .client()
        .upload("same.bin", &file)
        .1
        .status_is(200)
        .json()["handler"]
        .clone();
    assert_eq!(handler["status"], plain.status);
    assert_eq!(
        handler["content_type"].as_str(),
        plain.text("content-type").as_deref()
    );
    let body = handler["body"].as_str().map_or_else(
        || handler["body"].clone(),
        |text| serde_json::from_str(text).unwrap(),
    );
    assert_eq!(body, plain.json());
}

#[test]
fn the_app_keeps_its_own_routes_and_refusals() {
    let server = Server::start("");
    for target in [
        "/",
        "/nothing",
        "/upload/other",
        "/upload/chunkedx",
        "/upload/chunked/x",
        "/uploads",
        "/upload/init",
        "/tus",
        "/tus/x",
    ] {
        let response = Request::new("GET", target).send(server.addr());
        assert_eq!(response.code(), "", "{target}: the app answers");
        assert!(
            [200, 404, 405].contains(&response.status),
            "{target}: {}",
            response.status
        );
    }
    let _ = Request::new("GET", "/files")
        .send(server.addr())
        .status_is(200);
}

#[test]
fn health_is_for_everyone() {
    let server = Server::start("");
    let health = Request::new("GET", "/health")
        .send(server.addr())
        .status_is(200)
        .json();
    assert_eq!(health["status"], "ok");
}

#[test]
fn a_request_reaches_the_app_unchanged() {
    let app = App::start("[security]\nprotect = []", Script::storing());
    let body = data::random(3, 100_000);
    for target in [
        "/upload?x=1&x=2",
        "/a%2Fb//c",
        "/upload/chunk",
        "/upload/finalize",
        "*",
    ] {
        let method = if target == "*" { "OPTIONS" } else { "POST" };
        let request = Request::new(method, target)
            .header("X-Twice", "1")
            .header("X-Twice", "2")
            .header("X-Raw", b"\xff\xfe");
        let request = request
            .header("X-Upload-Session-ID", "whatever")
            .header("Content-Digest", "nonsense");
        let _ = request.body(body.clone()).send(app.addr()).status_is(201);
        let call = app.script().calls().pop().unwrap();
        assert_eq!(call.method, method);
        assert_eq!(call.uri.to_string(), target);
        assert!(call.body == body);
        let twice: Vec<_> = call.headers.get_all("x-twice").iter().collect();
        assert_eq!(twice, ["1", "2"]);
        assert_eq!(call.headers["x-raw"].as_bytes(), b"\xff\xfe");
        assert_eq!(call.headers["x-upload-session-id"], "whatever");
        assert!(call.headers.get("idempotency-key").is_none());
        assert_eq!(
            call.headers["content-length"],
            body.len().to_string().as_str()
        );
    }
}

#[test]
fn an_answer_leaves_the_app_unchanged() {
    let body = data::random(4, 300_000);
    let answer = Answer {
        status: 418,
        headers: vec![("set-cookie", "a=1".into()), ("set-cookie", "b=2".into())],
        body: body.clone(),
    };
    let app = App::start(
        "[security]\nprotect = []",
        Script::always(answer.header("cache-control", "max-age=60")),
    );
    let response = Request::new("GET", "/anything").send(app.addr());
    assert_eq!(response.status, 418);
    assert!(response.body == body);
    let cookies: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(cookies, [b"a=1".to_vec(), b"b=2".to_vec()]);
    assert_eq!(
        response.text("cache-control").as_deref(),
        Some("max-age=60")
    );
    assert!(response.text("x-upload-state").is_none());
}

#[test]
fn a_failure_of_the_app_stays_its_own() {
    let app = App::start("[security]\nprotect = []", Script::always(Reply::Fail));
    let response = Request::new("GET", "/anything").send(app.addr());
    assert_eq!(response.status, 500);
    assert_eq!(response.body, b"the app failed");
}

#[test]
fn the_app_asks_for_a_body_itself() {
    let app = App::start("[security]\nprotect = []", Script::storing());
    let request = Request::new("POST", "/upload").body(vec![7; 1000]);
    let mut connection = Connection::open(app.addr());
    connection.start(&request);
    connection.write(&[7; 1000]).unwrap();
    let _ = connection.response("POST").unwrap().status_is(201);
    assert_eq!(app.script().only_call().body, [7; 1000]);
}
