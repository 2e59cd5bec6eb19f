//! Create: protocol section 1.1.

use std::collections::HashSet;

use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::http::Request;
use steadfast_tests::server::Server;
use steadfast_tests::upload::{CHUNKED, Session, sign};

/// True for the 43 characters that 256 bits make in base64url.
pub fn is_capability(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// True for `2026-01-02T03:04:05Z`, with or without a fraction.
pub fn is_utc(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape.starts_with("0000-00-00T00:00:00") && (shape.ends_with('Z') || shape.ends_with("+00:00"))
}

#[test]
fn answers_with_the_plan_and_where_to_ask() {
    let server = Server::start("");
    for method in ["POST", "PUT"] {
        let request = server
            .client()
            .create_request("plan.bin", 2 * CHUNK + 1)
            .method(method);
        let response = request.send(server.addr()).status_is(201);
        let location = response.text("location").expect("a location");
        assert_eq!(
            response.text("content-type").as_deref(),
            Some("application/json")
        );
        let answer = response.json();
        let id = answer["session_id"].as_str().unwrap();
        assert!(is_capability(id), "{id}");
        assert_eq!(location, format!("/upload/status?session_id={id}"));
        assert_eq!(answer["chunk_size"], CHUNK);
        assert_eq!(answer["total_chunks"], 3);
        assert!(is_utc(answer["expires_at"].as_str().unwrap()), "{answer}");
        let status = Request::new("GET", &location)
            .send(server.addr())
            .status_is(200)
            .json();
        assert_eq!(status["filename"], "plan.bin");
    }
}

#[test]
fn counts_chunks_by_rounding_up() {
    let server = Server::start("");
    for (size, chunks) in [
        (1, 1),
        (CHUNK - 1, 1),
        (CHUNK, 1),
        (CHUNK + 1, 2),
        (2 * CHUNK, 2),
    ] {
        assert_eq!(
            server.client().create("n.bin", size).total_chunks,
            chunks,
            "{size}"
        );
    }
}

#[test]
fn echoes_the_durability_in_force() {
    let server = Server::start("[uploads]\ndurability = \"process\"");
    assert_eq!(
        server.client().create("d.bin", 1).answer["durability"],
        "process"
    );
}

#[test]
fn promises_to_survive_a_power_cut_unless_told_otherwise() {
    let server = Server::start("");
    assert_eq!(
        server.client().create("d.bin", 1).answer["durability"],
        "power"
    );
}

#[test]
fn takes_the_chunk_size_of_the_client_within_the_bounds() {
    let server = Server::start("[uploads]\nmax_chunk_size = \"1MB\"");
    let asked = |size: usize| {
        let request = server.client().create_request("c.bin", 10_000_000);
        request
            .header("X-Chunk-Size", size.to_string())
            .send(server.addr())
    };
    for size in [CHUNK, 100_000, 1 << 20] {
        let session = Session::from_answer(asked(size).status_is(201).json());
        assert_eq!(session.chunk_size, size);
        assert_eq!(session.total_chunks, 10_000_000_usize.div_ceil(size));
    }
    for size in [0, 1, CHUNK - 1, (1 << 20) + 1] {
        let response = asked(size).status_is(400);
        assert!(!response.code().is_empty(), "{size}");
    }
}

#[test]
fn asks_for_name_and_size() {
    let server = Server::start("");
    for missing in ["X-Filename", "X-Total-Size"] {
        let request = server.client().create_request("a.bin", 10).without(missing);
        let response = request.send(server.addr()).refused(400, "missing_header");
        let detail = response.json()["detail"].to_string().to_lowercase();
        assert!(detail.contains(&missing.to_lowercase()), "{detail}");
    }
}

#[test]
fn has_no_body() {
    let server = Server::start("");
    let request = server.client().create_request("a.bin", 10);
    request
        .clone()
        .body("0123456789")
        .send(server.addr())
        .refused(400, "unexpected_body");
    request
        .clone()
        .chunked(b"0123456789", 3)
        .send(server.addr())
        .refused(400, "unexpected_body");
    let _ = request.body("").send(server.addr()).status_is(201);
}

#[test]
fn gives_every_upload_an_id_nobody_can_guess() {
    let server = Server::start("");
    let client = server.client();
    let ids: HashSet<String> = (0..200).map(|_| client.create("same.bin", 10).id).collect();
    assert_eq!(ids.len(), 200);
    assert!(ids.iter().all(|id| is_capability(id)));
    for position in 0..42 {
        let seen: HashSet<u8> = ids.iter().map(|id| id.as_bytes()[position]).collect();
        assert!(
            seen.len() > 32,
            "position {position} takes only {} values",
            seen.len()
        );
    }
}

#[test]
fn puts_the_name_of_the_server_before_the_id() {
    let server = Server::start("[server]\nname = \"alpha\"");
    let session = server.client().create("named.bin", 10);
    let (name, rest) = session.id.split_once('.').expect("a name and a dot");
    assert_eq!(name, "alpha");
    assert!(is_capability(rest), "{rest}");
    let _ = server
        .client()
        .put(&session, 0, b"0123456789")
        .status_is(200);
}

#[test]
fn prefixes_the_location_with_the_public_base() {
    let server = Server::start("[server]\npublic_base = \"/media\"");
    let response = server
        .client()
        .create_request("based.bin", 10)
        .send(server.addr())
        .status_is(201);
    let id = response.json()["session_id"].as_str().unwrap().to_owned();
    assert_eq!(
        response.text("location").unwrap(),
        format!("/media/upload/status?session_id={id}")
    );
}

#[test]
fn aliases_answer_only_when_switched_on() {
    let alias = |server: &Server| {
        let request = server
            .client()
            .create_request("alias.bin", 3)
            .target("/chunked-upload");
        request
            .replace("X-Signature", sign("/chunked-upload"))
            .send(server.addr())
    };
    let plain = Server::start("");
    assert_eq!(alias(&plain).status, 404);
    let server = Server::start("[dialects]\naliases = true");
    let session = Session::from_answer(alias(&server).status_is(201).json());
    let put = server
        .client()
        .chunk_request(&session, 0, b"abc")
        .target("/chunked-upload");
    assert_eq!(
        put.send(server.addr()).status_is(200).json()["completed"],
        true
    );
    let status = Request::new("GET", &format!("/upload-status?session_id={}", session.id));
    assert_eq!(
        status.send(server.addr()).status_is(200).json()["completed"],
        true
    );
    let _ = server.client().create("usual.bin", 3);
}

#[test]
fn the_routes_do_not_exist_when_switched_off() {
    for extra in [
        "[uploads]\nchunked_uploads_enabled = false",
        "[dialects]\nchunked = false",
    ] {
        let server = Server::with(&Config::with(extra));
        let response = server
            .client()
            .create_request("off.bin", 3)
            .send(server.addr());
        assert_eq!(response.status, 404, "{extra}");
        assert_eq!(response.code(), "", "the app answers, not the layer");
        let status = server.client().ask(&"A".repeat(43));
        assert_eq!(status.status, 404);
        assert_eq!(status.code(), "");
        let delete = Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", "A".repeat(43));
        assert_eq!(delete.send(server.addr()).status, 404);
    }
}
