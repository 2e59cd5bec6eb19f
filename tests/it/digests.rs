//! `Repr-Digest` and `Content-Digest` (RFC 9530): protocol section 1.1 and 1.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data::{self, digest_sha256, digest_sha512};
use steadfast_tests::http::Response;
use steadfast_tests::script::Script;
use steadfast_tests::upload::Session;

fn upload(app: &App, declared: &str, file: &[u8]) -> (Session, Response) {
    let request = app
        .client()
        .create_request("digest.bin", file.len())
        .header("Repr-Digest", declared);
    let session = app.client().open(&request);
    let last = app.client().put_all(&session, file);
    (session, last)
}

#[test]
fn a_right_digest_lets_the_file_pass() {
    let app = App::start("", Script::storing());
    let file = data::random(1, 2 * CHUNK + 9);
    let both = format!("{}, {}", digest_sha256(&file), digest_sha512(&file));
    for (calls, declared) in [digest_sha256(&file), digest_sha512(&file), both]
        .iter()
        .enumerate()
    {
        let (session, last) = upload(&app, declared, &file);
        let answer = last.status_is(200).json();
        assert_eq!(answer["completed"], true, "{declared}");
        assert_eq!(answer["sha256"], data::sha256_hex(&file));
        assert_eq!(app.client().state(&session), "completed");
        assert_eq!(app.script().count(), calls + 1);
    }
}

#[test]
fn a_wrong_digest_stops_the_file() {
    let app = App::start("", Script::storing());
    let file = data::random(2, 2 * CHUNK + 9);
    let other = data::random(3, 2 * CHUNK + 9);
    let half_right = format!("{}, {}", digest_sha256(&file), digest_sha512(&other));
    for declared in [digest_sha256(&other), digest_sha512(&other), half_right] {
        let (session, last) = upload(&app, &declared, &file);
        last.refused(400, "digest_mismatch");
        let status = app.client().status(&session);
        assert_eq!(status["state"], "rejected", "{declared}");
        assert_eq!(status["completed"], false);
        app.client()
            .put_chunk(&session, &file, 2)
            .refused(400, "digest_mismatch");
        let _ = app.client().cancel(&session).status_is(204);
    }
    assert_eq!(app.script().count(), 0, "the handler sees none of them");
    let (_, again) = upload(&app, &digest_sha256(&file), &file);
    assert_eq!(again.status_is(200).json()["completed"], true);
}

#[test]
fn a_wrong_digest_of_an_empty_file_stops_it_too() {
    let app = App::start("", Script::storing());
    let create = |declared: String| {
        app.client()
            .create_request("empty.bin", 0)
            .header("Repr-Digest", declared)
            .send(app.addr())
    };
    create(digest_sha256(b"x")).refused(400, "digest_mismatch");
    assert_eq!(app.script().count(), 0);
    assert_eq!(
        create(digest_sha256(b"")).status_is(201).json()["completed"],
        true
    );
}

/// Values that are no digest, whatever the file.
fn malformed() -> Vec<String> {
    let short = STANDARD.encode([1; 31]);
    let long = STANDARD.encode([1; 33]);
    let right = STANDARD.encode([1; 32]);
    vec![
        format!("sha-256=:{short}:"),
        format!("sha-256=:{long}:"),
        format!("sha-512=:{right}:"),
        format!("sha-256={right}"),
        format!("sha-256=:{right}"),
        format!("sha-256=\"{right}\""),
        "sha-256=::".to_owned(),
        "sha-256=:!!!!:".to_owned(),
        "sha-256".to_owned(),
        hex::encode([1; 32]),
    ]
}

#[test]
fn a_malformed_digest_of_the_file_is_refused_at_create() {
    let app = App::start("", Script::storing());
    for declared in malformed() {
        let request = app
            .client()
            .create_request("bad.bin", 10)
            .header("Repr-Digest", &declared);
        let response = request.send(app.addr());
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "bad_digest"),
            "{declared}"
        );
    }
}

#[test]
fn a_malformed_digest_of_a_chunk_is_refused() {
    let app = App::start("", Script::storing());
    let session = app.client().create("bad.bin", 10);
    for declared in malformed() {
        let request = app
            .client()
            .chunk_request(&session, 0, b"0123456789")
            .header("Content-Digest", &declared);
        let response = request.send(app.addr());
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "bad_digest"),
            "{declared}"
        );
    }
    assert_eq!(app.client().status(&session)["uploaded_bytes"], 0);
}

#[test]
fn a_chunk_with_its_right_digest_is_kept() {
    let app = App::start("", Script::storing());
    let file = data::random(4, 2 * CHUNK);
    let session = app.client().create("chunks.bin", file.len());
    let first = app.client().chunk_request(&session, 0, &file[..CHUNK]);
    let _ = first
        .header("Content-Digest", digest_sha256(&file[..CHUNK]))
        .send(app.addr())
        .status_is(200);
    let second = app
        .client()
        .chunk_head(&session, 1)
        .chunked(&file[CHUNK..], 999);
    let second = second.header("Content-Digest", digest_sha512(&file[CHUNK..]));
    assert_eq!(
        second.send(app.addr()).status_is(200).json()["completed"],
        true
    );
}

#[test]
fn a_chunk_with_a_wrong_digest_is_not_kept() {
    let app = App::start("", Script::storing());
    let file = data::random(5, CHUNK);
    let session = app.client().create("flipped.bin", file.len());
    let mut flipped = file.clone();
    flipped[CHUNK / 2] ^= 0x10;
    for declared in [digest_sha256(&file), digest_sha512(&file)] {
        let request = app
            .client()
            .chunk_request(&session, 0, &flipped)
            .header("Content-Digest", &declared);
        request.send(app.addr()).refused(400, "digest_mismatch");
        let status = app.client().status(&session);
        assert_eq!(status["uploaded_bytes"], 0);
        assert_eq!(status["chunks"], 0);
        assert_eq!(status["state"], "receiving");
    }
    let request = app
        .client()
        .chunk_request(&session, 0, &file)
        .header("Content-Digest", digest_sha256(&file));
    let answer = request.send(app.addr()).status_is(200).json();
    assert_eq!(answer["duplicate"], false);
    assert_eq!(answer["completed"], true);
    assert_eq!(app.script().count(), 1);
}
