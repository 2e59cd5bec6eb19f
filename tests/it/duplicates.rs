//! Chunks that are sent again: protocol section 1.2.

use serde_json::Value;
use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::Connection;
use steadfast_tests::script::Script;
use steadfast_tests::server::Server;

fn without_flag(mut answer: Value) -> Value {
    answer["duplicate"] = Value::Null;
    answer
}

#[test]
fn get_the_same_answer_with_a_flag() {
    let server = Server::start("");
    let file = data::random(1, 3 * CHUNK);
    let session = server.client().create("again.bin", file.len());
    let first = server
        .client()
        .put_chunk(&session, &file, 0)
        .status_is(200)
        .json();
    assert_eq!(first["duplicate"], false);
    for _ in 0..3 {
        let response = server.client().put_chunk(&session, &file, 0).status_is(200);
        assert_eq!(
            response.text("content-type").as_deref(),
            Some("application/json")
        );
        let again = response.json();
        assert_eq!(again["duplicate"], true);
        assert_eq!(without_flag(again), without_flag(first.clone()));
    }
    assert_eq!(server.client().status(&session)["chunks"], 1);
}

#[test]
fn tell_of_the_progress_made_since() {
    let server = Server::start("");
    let file = data::random(2, 4 * CHUNK);
    let session = server.client().create("since.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    let _ = server.client().put_chunk(&session, &file, 2).status_is(200);
    let again = server
        .client()
        .put_chunk(&session, &file, 0)
        .status_is(200)
        .json();
    assert_eq!(again["uploaded_bytes"], 2 * CHUNK);
    assert_eq!(again["progress"].as_f64(), Some(0.5));
}

#[test]
fn with_other_bytes_are_refused_and_change_nothing() {
    let server = Server::start("");
    let file = data::random(3, 2 * CHUNK);
    let session = server.client().create("conflict.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    let mut other = file[..CHUNK].to_vec();
    for position in [0, CHUNK / 2, CHUNK - 1] {
        other[position] ^= 1;
        server
            .client()
            .put(&session, 0, &other)
            .refused(409, "chunk_conflict");
        let unsized_body = server
            .client()
            .chunk_head(&session, 0)
            .chunked(&other, 1000);
        unsized_body
            .send(server.addr())
            .refused(409, "chunk_conflict");
        other[position] ^= 1;
    }
    assert_eq!(server.client().status(&session)["uploaded_bytes"], CHUNK);
    let _ = server.client().put_chunk(&session, &file, 1).status_is(200);
    assert_eq!(
        std::fs::read(server.uploads_dir().join("conflict.bin")).unwrap(),
        file
    );
}

#[test]
fn have_the_length_of_the_chunk() {
    let server = Server::start("");
    let session = server.client().create("length.bin", 3 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    for length in [0, 1, CHUNK - 1, CHUNK + 1, 2 * CHUNK] {
        let response = server
            .client()
            .put(&session, 0, &vec![1; length])
            .refused(400, "chunk_length");
        assert_eq!(response.json()["expected"], CHUNK);
    }
    assert_eq!(server.client().status(&session)["uploaded_bytes"], CHUNK);
}

#[test]
fn are_read_to_their_end() {
    let server = Server::start("");
    let file = data::random(4, 3 * CHUNK);
    let session = server.client().create("read.bin", file.len());
    let mut connection = Connection::open(server.addr());
    for index in [0, 0, 0, 1, 1, 0, 2] {
        let request = server
            .client()
            .chunk_request(&session, index, session.chunk(&file, index));
        let _ = connection.exchange(&request).unwrap().status_is(200);
    }
    let mut other = file[..CHUNK].to_vec();
    other[0] ^= 1;
    let mut connection = Connection::open(server.addr());
    let session = server.client().create("read2.bin", file.len());
    let first = server.client().chunk_request(&session, 0, &file[..CHUNK]);
    let _ = connection.exchange(&first).unwrap().status_is(200);
    let conflict = server.client().chunk_request(&session, 0, &other);
    connection
        .exchange(&conflict)
        .unwrap()
        .refused(409, "chunk_conflict");
    let _ = connection.exchange(&first).unwrap().status_is(200);
}

#[test]
fn of_unknown_length_count_as_well() {
    let server = Server::start("");
    let session = server.client().create("te.bin", 3 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    let request = server
        .client()
        .chunk_head(&session, 0)
        .chunked(&[1; CHUNK], 3000);
    assert_eq!(
        request.send(server.addr()).status_is(200).json()["duplicate"],
        true
    );
}

#[test]
fn after_the_end_get_the_answer_of_the_end() {
    let app = App::start("", Script::storing());
    let file = data::random(5, 3 * CHUNK);
    let (session, last) = app.client().upload("end.bin", &file);
    let last = last.status_is(200).json();
    assert_eq!(last["completed"], true);
    for index in [2, 0, 1, 2] {
        let again = app
            .client()
            .put_chunk(&session, &file, index)
            .status_is(200)
            .json();
        assert_eq!(again["duplicate"], true);
        for field in [
            "completed",
            "uploaded_bytes",
            "progress",
            "filename",
            "size",
            "sha256",
            "crc32c",
            "handler",
            "duration",
        ] {
            assert_eq!(again[field], last[field], "{field}");
        }
    }
    assert_eq!(app.script().count(), 1, "the handler is called once");
}
