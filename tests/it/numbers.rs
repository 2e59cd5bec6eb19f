//! Numbers and repeated headers: protocol section 0.

use steadfast_tests::config::CHUNK;
use steadfast_tests::http::{Request, Response};
use steadfast_tests::server::Server;
use steadfast_tests::upload::CHUNKED;

/// Texts that are not ASCII digits without a leading zero up to 2^63-1.
const NOT_NUMBERS: [&[u8]; 22] = [
    b"-1",
    b"+5",
    b"-0",
    b"5.0",
    b"5.",
    b".5",
    b"1e3",
    b"1e0",
    b"0x10",
    b"10h",
    b"5 5",
    b"5,5",
    b"5;",
    b"1_000",
    b"01",
    b"00",
    b"NaN",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    "５".as_bytes(),
    b"\xb2",
];

#[track_caller]
fn assert_names(response: &Response, header: &str, value: &[u8]) {
    let shown = String::from_utf8_lossy(value).into_owned();
    assert_eq!(response.status, 400, "{header}: {shown}");
    assert_eq!(response.code(), "bad_number", "{header}: {shown}");
    let detail = response.json()["detail"].to_string().to_lowercase();
    assert!(detail.contains(&header.to_lowercase()), "{detail}");
}

#[test]
fn the_total_size_is_a_number() {
    let server = Server::start("");
    for value in NOT_NUMBERS {
        let request = server
            .client()
            .create_request("n.bin", 10)
            .replace("X-Total-Size", value);
        assert_names(&request.send(server.addr()), "X-Total-Size", value);
    }
    let empty = server
        .client()
        .create_request("n.bin", 10)
        .replace("X-Total-Size", "");
    assert_eq!(empty.send(server.addr()).status, 400);
}

#[test]
fn the_largest_number_is_a_number() {
    let server = Server::start("");
    let request = server
        .client()
        .create_request("n.bin", 10)
        .replace("X-Total-Size", i64::MAX.to_string());
    request.send(server.addr()).refused(413, "too_large");
}

#[test]
fn blanks_around_a_value_are_no_part_of_it() {
    let server = Server::start("");
    let request = server
        .client()
        .create_request("n.bin", 10)
        .replace("X-Total-Size", "  5 ");
    let _ = request.send(server.addr()).status_is(201);
}

#[test]
fn the_chunk_size_is_a_number() {
    let server = Server::start("");
    for value in NOT_NUMBERS {
        let request = server
            .client()
            .create_request("n.bin", 10)
            .header("X-Chunk-Size", value);
        assert_names(&request.send(server.addr()), "X-Chunk-Size", value);
    }
}

#[test]
fn the_chunk_number_is_a_number() {
    let server = Server::start("");
    let session = server.client().create("n.bin", 10 * CHUNK);
    for value in NOT_NUMBERS {
        let request = server
            .client()
            .chunk_request(&session, 0, &[1; CHUNK])
            .replace("X-Chunk-Number", value);
        assert_names(&request.send(server.addr()), "X-Chunk-Number", value);
    }
    let empty = server
        .client()
        .chunk_request(&session, 0, &[1; CHUNK])
        .replace("X-Chunk-Number", "");
    assert_eq!(empty.send(server.addr()).status, 400);
    let status = server.client().status(&session);
    assert_eq!(status["uploaded_bytes"], 0);
    assert_eq!(status["chunks"], 0);
}

#[test]
fn headers_of_ours_come_once() {
    let server = Server::start("");
    let create = server.client().create_request("dup.bin", 10);
    for (header, value) in [
        ("X-Total-Size", "10"),
        ("X-Total-Size", "11"),
        ("X-Filename", "dup.bin"),
        ("X-Filename", "other.bin"),
    ] {
        let request = create.clone().header(header, value);
        request.send(server.addr()).refused(400, "duplicate_header");
    }
    let sizes = create
        .header("X-Chunk-Size", "65536")
        .header("X-Chunk-Size", "65536");
    sizes.send(server.addr()).refused(400, "duplicate_header");
    let session = server.client().create("dup.bin", 2 * CHUNK);
    let chunk = server.client().chunk_request(&session, 0, &[1; CHUNK]);
    for (header, value) in [
        ("X-Chunk-Number", "0"),
        ("X-Chunk-Number", "1"),
        ("X-Upload-Session-ID", session.id.as_str()),
    ] {
        let request = chunk.clone().header(header, value);
        request.send(server.addr()).refused(400, "duplicate_header");
    }
    let cancel = Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", &session.id);
    let twice = cancel.header("X-Upload-Session-ID", "A".repeat(43));
    twice.send(server.addr()).refused(400, "duplicate_header");
    let status = server.client().status(&session);
    assert_eq!(status["uploaded_bytes"], 0);
    assert_eq!(status["state"], "receiving");
}
