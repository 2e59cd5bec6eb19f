//! Chunks: protocol section 1.2.

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request, together};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::CHUNKED;

fn fields(answer: &Value) -> BTreeSet<&str> {
    answer
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

/// The fields of every answer to a chunk.
pub const CHUNK_FIELDS: [&str; 8] = [
    "chunk",
    "chunk_size",
    "completed",
    "duplicate",
    "progress",
    "success",
    "total_size",
    "uploaded_bytes",
];

#[test]
fn answers_exactly_as_documented() {
    let server = Server::start("");
    let file = data::random(1, 4 * CHUNK);
    let session = server.client().create("shape.bin", file.len());
    let response = server.client().put_chunk(&session, &file, 0).status_is(200);
    assert_eq!(
        response.text("content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(response.text("cache-control").as_deref(), Some("no-store"));
    assert_eq!(
        response.text("x-content-type-options").as_deref(),
        Some("nosniff")
    );
    let answer = response.json();
    assert_eq!(fields(&answer), BTreeSet::from(CHUNK_FIELDS));
    assert_eq!(answer["success"], true);
    assert_eq!(answer["chunk"], 0);
    assert_eq!(answer["uploaded_bytes"], CHUNK);
    assert_eq!(answer["total_size"], 4 * CHUNK);
    assert_eq!(answer["progress"].as_f64(), Some(0.25));
    assert_eq!(answer["completed"], false);
    assert_eq!(answer["chunk_size"], CHUNK);
    assert_eq!(answer["duplicate"], false);
}

#[test]
fn a_whole_upload_reaches_the_old_handler() {
    let server = Server::start("");
    let file = data::random(2, 3 * CHUNK + 777);
    let (_, last) = server.client().upload("whole.bin", &file);
    let answer = last.status_is(200).json();
    assert_eq!(answer["completed"], true);
    assert_eq!(answer["progress"].as_f64(), Some(1.0));
    assert_eq!(answer["uploaded_bytes"], file.len());
    assert_eq!(answer["filename"], "whole.bin");
    assert_eq!(answer["size"], file.len());
    assert_eq!(answer["sha256"], data::sha256_hex(&file));
    assert!(
        answer["crc32c"].is_string() || answer["crc32c"].is_number(),
        "{answer}"
    );
    let seconds = answer["duration"]
        .as_str()
        .unwrap()
        .strip_suffix('s')
        .expect("a unit");
    assert!(seconds.parse::<f64>().unwrap() < 60.0);
    assert!(
        fields(&answer).is_superset(&BTreeSet::from(CHUNK_FIELDS)),
        "{answer}"
    );
    assert_eq!(answer["handler"]["status"], 201);
    assert_eq!(answer["handler"]["content_type"], "application/json");
    assert!(
        answer["handler"]["body"].to_string().contains("whole.bin"),
        "{answer}"
    );
    assert_eq!(
        std::fs::read(server.uploads_dir().join("whole.bin")).unwrap(),
        file
    );
}

#[test]
fn the_crc_is_that_of_the_whole_file() {
    let server = Server::start("");
    let file = data::random(3, 2 * CHUNK + 5);
    let (_, last) = server.client().upload("crc.bin", &file);
    let shown = &last.status_is(200).json()["crc32c"];
    let crc = data::crc32c(&file);
    let hex = format!("{crc:08x}");
    let text = shown.as_str().map(str::to_ascii_lowercase);
    assert!(
        shown.as_u64() == Some(u64::from(crc)) || text.as_deref() == Some(&hex),
        "{shown} for {hex}"
    );
}

#[test]
fn chunks_come_in_any_order_and_by_either_method() {
    let server = Server::start("");
    let file = data::random(4, 5 * CHUNK + 1);
    let session = server.client().create("order.bin", file.len());
    let order = [5, 0, 3, 1, 4, 2];
    for (sent, index) in order.into_iter().enumerate() {
        let method = if sent % 2 == 0 { "POST" } else { "PUT" };
        let request = server
            .client()
            .chunk_request(&session, index, session.chunk(&file, index));
        let answer = request
            .method(method)
            .send(server.addr())
            .status_is(200)
            .json();
        assert_eq!(answer["completed"], sent + 1 == order.len(), "{answer}");
    }
    assert_eq!(
        std::fs::read(server.uploads_dir().join("order.bin")).unwrap(),
        file
    );
}

#[test]
fn chunks_come_in_parallel() {
    let server = Server::start("");
    let file = data::random(5, 20 * CHUNK);
    let session = server.client().create("parallel.bin", file.len());
    let answers = together(20, |index| {
        server
            .client()
            .put_chunk(&session, &file, index)
            .status_is(200)
            .json()
    });
    let finished = answers
        .iter()
        .filter(|answer| answer["completed"] == true)
        .count();
    assert!(finished >= 1, "somebody completes the upload");
    assert_eq!(
        std::fs::read(server.uploads_dir().join("parallel.bin")).unwrap(),
        file
    );
    assert_eq!(tree::holding(&server.uploads_dir(), &file).len(), 1);
}

#[test]
fn one_connection_carries_a_whole_upload() {
    let server = Server::start("");
    let file = data::random(6, 4 * CHUNK);
    let client = server.client();
    let mut connection = Connection::open(server.addr());
    let created = connection
        .exchange(&client.create_request("kept.bin", file.len()))
        .unwrap();
    let session = steadfast_tests::upload::Session::from_answer(created.status_is(201).json());
    for index in 0..4 {
        let request = client.chunk_request(&session, index, session.chunk(&file, index));
        let _ = connection.exchange(&request).unwrap().status_is(200);
    }
    assert_eq!(
        std::fs::read(server.uploads_dir().join("kept.bin")).unwrap(),
        file
    );
}

#[test]
fn requests_may_follow_each_other_without_waiting() {
    let server = Server::start("");
    let file = data::random(10, 3 * CHUNK);
    let session = server.client().create("pipeline.bin", file.len());
    let mut connection = Connection::open(server.addr());
    let mut bytes = Vec::new();
    for index in 0..3 {
        let request = server
            .client()
            .chunk_request(&session, index, session.chunk(&file, index));
        bytes.extend([request.head(), request.framed_body()].concat());
    }
    connection.write(&bytes).unwrap();
    for index in 0..3 {
        let answer = connection.response("PUT").unwrap().status_is(200).json();
        assert_eq!(answer["chunk"], index);
        assert_eq!(answer["completed"], index == 2);
    }
}

#[test]
fn a_body_of_unknown_length_is_counted_as_it_arrives() {
    let server = Server::start("");
    let file = data::random(7, CHUNK + 1000);
    let session = server.client().create("te.bin", file.len());
    let request = server
        .client()
        .chunk_head(&session, 0)
        .chunked(session.chunk(&file, 0), 1000);
    assert_eq!(
        request.send(server.addr()).status_is(200).json()["uploaded_bytes"],
        CHUNK
    );
    let request = server
        .client()
        .chunk_head(&session, 1)
        .chunked(session.chunk(&file, 1), 7);
    assert_eq!(
        request.send(server.addr()).status_is(200).json()["completed"],
        true
    );
    assert_eq!(
        std::fs::read(server.uploads_dir().join("te.bin")).unwrap(),
        file
    );
}

#[test]
fn a_chunk_the_file_does_not_have_is_refused() {
    let server = Server::start("");
    let session = server.client().create("range.bin", 2 * CHUNK);
    for index in [2, 3, 999_999, 1 << 31, usize::try_from(i64::MAX).unwrap()] {
        server
            .client()
            .put(&session, index, &[7; CHUNK])
            .refused(400, "chunk_range");
    }
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
}

#[test]
fn a_chunk_names_its_number() {
    let server = Server::start("");
    let session = server.client().create("numberless.bin", 10);
    let request = server
        .client()
        .chunk_request(&session, 0, b"0123456789")
        .without("X-Chunk-Number");
    let response = request.send(server.addr()).status_is(400);
    assert!(!response.code().is_empty());
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
}

#[test]
fn ids_of_another_shape_are_unknown() {
    let server = Server::start("");
    let real = server.client().create("real.bin", 10);
    let mut flipped = real.id.clone().into_bytes();
    flipped[0] = if flipped[0] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let before = tree::list(server.root());
    let mut ids = vec![
        "x".to_owned(),
        "../x".into(),
        "..%2Fx".into(),
        "/etc/passwd".into(),
        "%00".into(),
    ];
    ids.extend([
        "A".repeat(10 * 1024),
        "A".repeat(42),
        "A".repeat(43),
        "A".repeat(44),
        flipped,
    ]);
    ids.push(String::new());
    ids.extend([
        format!("{}=", real.id),
        format!("alpha.{}", real.id),
        format!("../{}", real.id),
        "*".repeat(43),
    ]);
    for id in &ids {
        let request = Request::new("PUT", CHUNKED)
            .header("X-Upload-Session-ID", id)
            .header("X-Chunk-Number", "0");
        request
            .body("0123456789")
            .send(server.addr())
            .refused(404, "no_session");
        Request::new("DELETE", CHUNKED)
            .header("X-Upload-Session-ID", id)
            .send(server.addr())
            .refused(404, "no_session");
        let status = Request::new("GET", "/upload/status").header("X-Upload-Session-ID", id);
        status.send(server.addr()).refused(404, "no_session");
    }
    assert_eq!(tree::list(server.root()), before, "nothing is touched");
}

#[test]
fn a_large_file_passes_limits_made_for_small_bodies() {
    let server = Server::start("[uploads]\nchunk_size = \"5MB\"");
    let file = data::random(8, 12 << 20);
    let (session, last) = server.client().upload("large.bin", &file);
    assert_eq!(session.total_chunks, 3);
    assert_eq!(last.status_is(200).json()["completed"], true);
    let stored = std::fs::read(server.uploads_dir().join("large.bin")).unwrap();
    assert_eq!(data::sha256_hex(&stored), data::sha256_hex(&file));
}

#[test]
fn a_broken_body_keeps_nothing_and_can_be_sent_again() {
    let server = Server::start("");
    let file = data::random(9, CHUNK);
    let session = server.client().create("broken.bin", file.len());
    let request = server.client().chunk_request(&session, 0, &file);
    for cut in [0, 1, CHUNK / 2, CHUNK - 1] {
        let mut connection = Connection::open(server.addr());
        connection.start(&request);
        connection.write(&file[..cut]).unwrap();
        drop(connection);
        assert_eq!(
            server.client().status(&session)["uploaded_bytes"],
            0,
            "after {cut} bytes"
        );
    }
    assert_eq!(
        request.send(server.addr()).status_is(200).json()["completed"],
        true
    );
    assert_eq!(
        std::fs::read(server.uploads_dir().join("broken.bin")).unwrap(),
        file
    );
}
