//! Status: protocol section 1.3.

use serde_json::json;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request};
use steadfast_tests::server::Server;

use crate::create::is_utc;

#[test]
fn tells_everything_documented() {
    let server = Server::start("");
    let file = data::random(1, 8 * CHUNK - 1);
    let session = server.client().create("fields.bin", file.len());
    for index in [0, 2, 5] {
        let _ = server
            .client()
            .put_chunk(&session, &file, index)
            .status_is(200);
    }
    let status = server.client().status(&session);
    assert_eq!(status["session_id"], session.id);
    assert_eq!(status["filename"], "fields.bin");
    assert_eq!(status["total_size"], file.len());
    assert_eq!(status["uploaded_bytes"], 3 * CHUNK);
    let progress = status["progress"].as_f64().unwrap();
    assert!(
        (progress - 3.0 * CHUNK as f64 / file.len() as f64).abs() < 1e-3,
        "{progress}"
    );
    assert_eq!(status["completed"], false);
    assert_eq!(status["chunks"], 3);
    assert_eq!(status["chunk_size"], CHUNK);
    assert_eq!(status["total_chunks"], 8);
    assert_eq!(status["missing"], json!([[1, 1], [3, 4], [6, 7]]));
    assert_eq!(status["state"], "receiving");
    assert_eq!(status["paused"], false);
    assert!(
        is_utc(status["last_activity"].as_str().unwrap()),
        "{status}"
    );
    assert!(is_utc(status["expires_at"].as_str().unwrap()), "{status}");
    assert!(
        status
            .get("missing_truncated")
            .is_none_or(|truncated| truncated == false)
    );
}

#[test]
fn starts_empty() {
    let server = Server::start("");
    let session = server.client().create("empty.bin", 3 * CHUNK);
    let status = server.client().status(&session);
    assert_eq!(status["uploaded_bytes"], 0);
    assert_eq!(status["progress"].as_f64(), Some(0.0));
    assert_eq!(status["chunks"], 0);
    assert_eq!(status["missing"], json!([[0, 2]]));
}

#[test]
fn finished_uploads_carry_their_result() {
    let server = Server::start("");
    let file = data::random(2, CHUNK + 1);
    let (session, last) = server.client().upload("done.bin", &file);
    let answer = last.status_is(200).json();
    let status = server.client().status(&session);
    assert_eq!(status["state"], "completed");
    assert_eq!(status["completed"], true);
    assert_eq!(status["progress"].as_f64(), Some(1.0));
    assert_eq!(status["uploaded_bytes"], file.len());
    assert_eq!(status["missing"], json!([]));
    for field in ["handler", "sha256", "size", "duration"] {
        assert_eq!(status[field], answer[field], "{field}");
    }
}

#[test]
fn the_id_comes_in_the_query_or_in_a_header() {
    let server = Server::start("");
    let session = server.client().create("where.bin", 10);
    let in_header =
        Request::new("GET", "/upload/status").header("X-Upload-Session-ID", &session.id);
    let answer = in_header.send(server.addr()).status_is(200).json();
    assert_eq!(answer, server.client().status(&session));
    let with_more = format!("/upload/status?a=b&session_id={}&c", session.id);
    let _ = Request::new("GET", &with_more)
        .send(server.addr())
        .status_is(200);
    Request::new("GET", "/upload/status")
        .send(server.addr())
        .refused(400, "missing_parameter");
    Request::new("GET", "/upload/status?session=x")
        .send(server.addr())
        .refused(400, "missing_parameter");
}

#[test]
fn unknown_ids_are_not_found_in_the_query_either() {
    let server = Server::start("");
    for id in [
        "A".repeat(43),
        "x".into(),
        "../x".into(),
        "..%2Fx".into(),
        "%".into(),
        "A".repeat(10 * 1024),
    ] {
        server.client().ask(&id).refused(404, "no_session");
    }
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start("");
    let session = server.client().create("head.bin", 10);
    let mut connection = Connection::open(server.addr());
    let request = server.client().status_request(&session.id).method("HEAD");
    let response = connection.exchange(&request).unwrap().status_is(200);
    assert_eq!(
        response.text("content-type").as_deref(),
        Some("application/json")
    );
    let again = connection
        .exchange(&request.method("GET"))
        .unwrap()
        .status_is(200);
    assert_eq!(
        again.json()["filename"],
        "head.bin",
        "no body came between the two answers"
    );
    let unknown = server
        .client()
        .status_request(&"A".repeat(43))
        .method("HEAD");
    assert_eq!(connection.exchange(&unknown).unwrap().status, 404);
}

#[test]
fn asking_changes_nothing() {
    let server = Server::start("");
    let session = server.client().create("still.bin", 2 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    let first = server.client().status(&session);
    for _ in 0..20 {
        let _ = server.client().status(&session);
    }
    assert_eq!(
        server.client().status(&session),
        first,
        "asking is no activity"
    );
}

#[test]
fn twenty_thousand_missing_chunks_are_one_range() {
    let server = Server::start("");
    let session = server.client().create("many.bin", 20_000 * CHUNK);
    let last = 19_999;
    let _ = server
        .client()
        .put(&session, last, &[1; CHUNK])
        .status_is(200);
    let response = server.client().ask(&session.id).status_is(200);
    assert!(response.body.len() < 64 * 1024);
    assert_eq!(response.json()["missing"], json!([[0, last - 1]]));
}

#[test]
fn at_most_a_thousand_ranges_are_listed() {
    let extra =
        "[uploads]\nchunk_size = \"1KB\"\nmin_chunk_size = \"1KB\"\ndurability = \"process\"";
    let server = Server::start(extra);
    let client = server.client();
    let session = client.create("holes.bin", 2_010 * 1024);
    let mut connection = Connection::open(server.addr());
    for index in (1..2_010).step_by(2) {
        let request = client.chunk_request(&session, index, &[1; 1024]);
        let _ = connection.exchange(&request).unwrap().status_is(200);
    }
    let response = client
        .status_request(&session.id)
        .send(server.addr())
        .status_is(200);
    assert!(response.body.len() < 64 * 1024);
    let status = response.json();
    assert_eq!(status["missing"].as_array().unwrap().len(), 1_000);
    assert_eq!(status["missing_truncated"], true);
    assert_eq!(status["missing"][0], json!([0, 0]));
    assert_eq!(status["missing"][999], json!([1998, 1998]));
    assert_eq!(status["chunks"], 1_005);
}
