//! Lengths of chunks and files: protocol section 1.2, "chunk size is agreed".

use std::io::Write as _;

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Response};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::wait::{self, SOON};

#[track_caller]
fn assert_expects(response: Response, expected: usize) {
    let response = response.refused(400, "chunk_length");
    assert_eq!(
        response.json()["expected"],
        expected,
        "{}",
        String::from_utf8_lossy(&response.body)
    );
}

#[test]
fn the_documented_client_ignores_what_the_server_announced() {
    let server = Server::start("[uploads]\nchunk_size = \"10MB\"");
    let client = server.client();
    let file = data::random(1, 12 << 20);
    let mut session = client.create("js.bin", file.len());
    assert_eq!((session.chunk_size, session.total_chunks), (10 << 20, 2));
    session.chunk_size = 5 << 20;
    session.total_chunks = 3;
    let first = client.put_chunk(&session, &file, 0).status_is(200).json();
    assert_eq!(first["chunk_size"], 5 << 20);
    assert_eq!(first["uploaded_bytes"], 5 << 20);
    let status = client.status(&session);
    assert_eq!(status["chunk_size"], 5 << 20);
    assert_eq!(status["total_chunks"], 3);
    let _ = client.put_chunk(&session, &file, 1).status_is(200);
    let last = client.put_chunk(&session, &file, 2).status_is(200).json();
    assert_eq!(last["completed"], true);
    assert_eq!(last["sha256"], data::sha256_hex(&file));
    assert_eq!(
        std::fs::read(server.uploads_dir().join("js.bin")).unwrap(),
        file
    );
}

#[test]
fn a_larger_first_chunk_is_adopted_too() {
    let server = Server::start("");
    let file = data::random(2, 5 * CHUNK);
    let mut session = server.client().create("up.bin", file.len());
    session.chunk_size = 2 * CHUNK;
    session.total_chunks = 3;
    assert_eq!(
        server
            .client()
            .put_chunk(&session, &file, 0)
            .status_is(200)
            .json()["chunk_size"],
        2 * CHUNK
    );
    assert_expects(server.client().put(&session, 1, &file[..CHUNK]), 2 * CHUNK);
    let _ = server.client().put_chunk(&session, &file, 1).status_is(200);
    assert_eq!(
        server
            .client()
            .put_chunk(&session, &file, 2)
            .status_is(200)
            .json()["completed"],
        true
    );
    assert_eq!(
        std::fs::read(server.uploads_dir().join("up.bin")).unwrap(),
        file
    );
}

#[test]
fn adoption_stays_within_the_bounds() {
    let server = Server::start("[uploads]\nmax_chunk_size = \"128KB\"");
    let session = server.client().create("bounds.bin", 4 * CHUNK);
    for length in [0, 1, CHUNK - 1, 2 * CHUNK + 1, 4 * CHUNK] {
        assert_expects(server.client().put(&session, 0, &vec![1; length]), CHUNK);
    }
    assert_eq!(server.client().status(&session)["chunk_size"], CHUNK);
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
}

#[test]
fn the_whole_file_is_no_chunk_size() {
    let server = Server::start("");
    let length = CHUNK + CHUNK / 2;
    let session = server.client().create("all.bin", length);
    assert_expects(server.client().put(&session, 0, &vec![1; length]), CHUNK);
    assert_expects(
        server.client().put(&session, 0, &vec![1; length + 1]),
        CHUNK,
    );
}

#[test]
fn an_agreed_size_is_kept() {
    let server = Server::start("");
    let request = server
        .client()
        .create_request("agreed.bin", 10 * CHUNK)
        .header("X-Chunk-Size", (2 * CHUNK).to_string());
    let session = server.client().open(&request);
    assert_expects(server.client().put(&session, 0, &[1; CHUNK]), 2 * CHUNK);
    assert_expects(server.client().put(&session, 0, &[1; 3 * CHUNK]), 2 * CHUNK);
    let _ = server
        .client()
        .put(&session, 0, &[1; 2 * CHUNK])
        .status_is(200);
}

#[test]
fn only_the_first_chunk_may_change_it() {
    let server = Server::start("");
    let session = server.client().create("second.bin", 10 * CHUNK);
    assert_expects(server.client().put(&session, 1, &[1; 2 * CHUNK]), CHUNK);
    let _ = server.client().put(&session, 1, &[1; CHUNK]).status_is(200);
    assert_expects(server.client().put(&session, 0, &[1; 2 * CHUNK]), CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
}

#[test]
fn a_chunk_in_flight_settles_it() {
    let server = Server::start("");
    let session = server.client().create("flight.bin", 10 * CHUNK);
    let mut connection = Connection::open(server.addr());
    connection.start(&server.client().chunk_request(&session, 1, &[1; CHUNK]));
    connection.write(&[1; 100]).unwrap();
    assert_expects(server.client().put(&session, 0, &[1; 2 * CHUNK]), CHUNK);
    connection.write(&[1; CHUNK - 100]).unwrap();
    let _ = connection.response("PUT").unwrap().status_is(200);
}

#[test]
fn the_head_of_the_first_chunk_settles_it_for_good() {
    let server = Server::start("");
    let client = server.client();
    let size = CHUNK + 1000;
    let session = client.create("head.bin", 10 * CHUNK);
    let mut connection = Connection::open(server.addr());
    connection.start(&client.chunk_request(&session, 0, &vec![1; size]));
    assert_eq!(client.status(&session)["chunk_size"], size);
    drop(connection);
    assert_expects(client.put(&session, 0, &[1; CHUNK]), size);
    assert_eq!(
        client
            .put(&session, 0, &vec![1; size])
            .status_is(200)
            .json()["chunk_size"],
        size
    );
}

#[test]
fn a_body_of_unknown_length_adopts_nothing() {
    let server = Server::start("");
    let session = server.client().create("te.bin", 10 * CHUNK);
    for length in [0, 1, CHUNK - 1, CHUNK + 1, 2 * CHUNK] {
        let request = server
            .client()
            .chunk_head(&session, 0)
            .chunked(&vec![1; length], 5000);
        assert_expects(request.send(server.addr()), CHUNK);
    }
    assert_eq!(server.client().status(&session)["chunk_size"], CHUNK);
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
}

#[test]
fn a_short_chunk_is_no_chunk_and_can_be_sent_properly() {
    let server = Server::start("");
    let file = data::random(3, 2 * CHUNK);
    let session = server.client().create("short.bin", file.len());
    assert_expects(server.client().put(&session, 0, &file[..1]), CHUNK);
    assert_expects(server.client().put(&session, 0, &[]), CHUNK);
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
    assert_eq!(
        server
            .client()
            .put_all(&session, &file)
            .status_is(200)
            .json()["completed"],
        true
    );
    assert_eq!(
        std::fs::read(server.uploads_dir().join("short.bin")).unwrap(),
        file
    );
}

#[test]
fn the_last_chunk_is_exactly_the_rest() {
    let server = Server::start("");
    let file = data::random(4, CHUNK + 500);
    let session = server.client().create("rest.bin", file.len());
    for length in [0, 499, 501, CHUNK] {
        assert_expects(server.client().put(&session, 1, &vec![1; length]), 500);
        let unsized_body = server
            .client()
            .chunk_head(&session, 1)
            .chunked(&vec![1; length], 100);
        assert_expects(unsized_body.send(server.addr()), 500);
    }
    assert_eq!(
        server
            .client()
            .put_all(&session, &file)
            .status_is(200)
            .json()["completed"],
        true
    );
}

#[test]
fn a_small_file_is_one_exact_chunk() {
    let server = Server::start("");
    let session = server.client().create("small.bin", 1000);
    for length in [0, 999, 1001, CHUNK] {
        assert_expects(server.client().put(&session, 0, &vec![1; length]), 1000);
    }
    assert_eq!(
        server
            .client()
            .put(&session, 0, &[1; 1000])
            .status_is(200)
            .json()["completed"],
        true
    );
}

#[test]
fn nobody_sends_more_than_was_declared() {
    let server = Server::start("");
    let session = server.client().create("flood.bin", 10);
    let flood = vec![1; 1 << 20];
    assert_expects(server.client().put(&session, 0, &flood), 10);
    let unsized_body = server
        .client()
        .chunk_head(&session, 0)
        .chunked(&flood, 8192);
    let response = unsized_body.send(server.addr());
    assert!([400, 413].contains(&response.status), "{}", response.status);
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
    let used: u64 = tree::list(&server.state_dir())
        .iter()
        .map(|entry| entry.len)
        .sum();
    assert!(used < 64 * 1024, "{used} bytes on disk");
}

#[test]
fn an_endless_body_is_cut_off() {
    let server = Server::start("");
    let session = server.client().create("endless.bin", 10);
    let mut connection = Connection::open(server.addr());
    connection
        .write(
            &server
                .client()
                .chunk_head(&session, 0)
                .chunked(&[], 1)
                .head(),
        )
        .unwrap();
    let piece = [b"10000\r\n".as_slice(), &[1; 0x10000], b"\r\n"].concat();
    let mut writer = connection.writer();
    let sending = std::thread::spawn(move || {
        let begin = std::time::Instant::now();
        while writer.write_all(&piece).is_ok() {
            assert!(begin.elapsed() < SOON, "the server never stops taking");
        }
    });
    let response = connection
        .response("PUT")
        .expect("an answer while the body still comes");
    assert!([400, 413].contains(&response.status), "{}", response.status);
    sending.join().expect("the connection is closed");
    assert_eq!(server.client().status(&session)["uploaded_bytes"], 0);
    let used: u64 = tree::list(&server.state_dir())
        .iter()
        .map(|entry| entry.len)
        .sum();
    assert!(used < 64 * 1024, "{used} bytes on disk");
}

#[test]
fn an_empty_file_is_delivered_at_create() {
    let server = Server::start("");
    let response = server
        .client()
        .create_request("empty.bin", 0)
        .send(server.addr())
        .status_is(201);
    let answer = response.json();
    assert_eq!(answer["completed"], true, "{answer}");
    assert_eq!(answer["filename"], "empty.bin");
    assert_eq!(answer["size"], 0);
    assert_eq!(answer["sha256"], data::sha256_hex(b""));
    assert_eq!(answer["handler"]["status"], 201);
    assert_eq!(
        std::fs::read(server.uploads_dir().join("empty.bin")).unwrap(),
        b""
    );
    let id = answer["session_id"].as_str().unwrap();
    let status = server.client().ask(id).status_is(200).json();
    assert_eq!(status["state"], "completed");
    assert_eq!(status["progress"].as_f64(), Some(1.0));
}

#[test]
fn data_of_a_refused_chunk_does_not_stay_on_disk() {
    let server = Server::start("");
    let marker = data::random(5, CHUNK + 1);
    let session = server.client().create("trace.bin", 10 * CHUNK);
    let request = server
        .client()
        .chunk_head(&session, 1)
        .chunked(&marker, 4096);
    assert_expects(request.send(server.addr()), CHUNK);
    let _ = server.client().cancel(&session).status_is(204);
    wait::until("nothing is left", SOON, || {
        tree::files(&server.state_dir())
            .iter()
            .all(|(_, bytes)| !data::contains(bytes, &marker[..512]))
    });
}
