//! The signature scheme `path`: protocol section 4.

use steadfast_tests::config::{Config, SECRET};
use steadfast_tests::data;
use steadfast_tests::http::{Request, Response};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, sign};

fn create(server: &Server, target: &str, signature: &str) -> Response {
    let request = server
        .client()
        .create_request("signed.bin", 10)
        .target(target);
    request
        .replace("X-Signature", signature)
        .send(server.addr())
}

#[track_caller]
fn assert_unauthorised(response: &Response) {
    assert_eq!(
        response.status,
        401,
        "{}",
        String::from_utf8_lossy(&response.body)
    );
    assert!(
        response.code().starts_with("signature_"),
        "{}",
        response.code()
    );
}

#[test]
fn a_create_needs_one() {
    let server = Server::start("");
    let request = server
        .client()
        .create_request("unsigned.bin", 10)
        .without("X-Signature");
    request
        .send(server.addr())
        .refused(401, "signature_missing");
}

#[test]
fn either_case_of_hex_is_right() {
    let server = Server::start("");
    let signature = sign(CHUNKED);
    assert_eq!(create(&server, CHUNKED, &signature).status, 201);
    assert_eq!(
        create(&server, CHUNKED, &signature.to_uppercase()).status,
        201
    );
}

#[test]
fn everything_else_is_wrong() {
    let server = Server::start("");
    let good = sign(CHUNKED);
    let mut flipped = good.clone();
    flipped.replace_range(63..64, if good.ends_with('0') { "1" } else { "0" });
    let wrong = [
        sign("/upload"),
        sign("/upload/chunked/"),
        data::hmac_hex("another secret of enough bytes..", CHUNKED),
        flipped,
        good[..63].to_owned(),
        format!("{good}0"),
        format!("{good}{good}"),
        "0".repeat(64),
        "x".repeat(64),
        SECRET.to_owned(),
        format!("sha256={good}"),
    ];
    for signature in wrong {
        assert_unauthorised(&create(&server, CHUNKED, &signature));
    }
    assert_unauthorised(&create(&server, CHUNKED, ""));
}

#[test]
fn the_query_is_not_signed() {
    let server = Server::start("");
    assert_eq!(
        create(&server, "/upload/chunked?from=app&x=1", &sign(CHUNKED)).status,
        201
    );
    assert_unauthorised(&create(
        &server,
        "/upload/chunked?from=app",
        &sign("/upload/chunked?from=app"),
    ));
}

#[test]
fn two_signatures_are_one_too_many() {
    let server = Server::start("");
    let request = server
        .client()
        .create_request("two.bin", 10)
        .header("X-Signature", "0".repeat(64));
    request.send(server.addr()).refused(400, "duplicate_header");
}

#[test]
fn the_rest_of_an_upload_needs_none() {
    let server = Server::start("");
    let session = server.client().create("bearer.bin", 10);
    let _ = server.client().status(&session);
    assert_eq!(
        server
            .client()
            .put(&session, 0, b"0123456789")
            .status_is(200)
            .json()["completed"],
        true
    );
    let other = server.client().create("bearer.bin", 10);
    let _ = server.client().cancel(&other).status_is(204);
}

fn plain_upload(server: &Server, target: &str, signature: Option<&str>) -> Response {
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.txt\"\r\n\r\nhello\r\n--b--\r\n";
    let mut request =
        Request::new("POST", target).header("Content-Type", "multipart/form-data; boundary=b");
    if let Some(signature) = signature {
        request = request.header("X-Signature", signature);
    }
    request.body(form).send(server.addr())
}

#[test]
fn protected_paths_need_one() {
    let server = Server::start("");
    plain_upload(&server, "/upload", None).refused(401, "signature_missing");
    assert_unauthorised(&plain_upload(&server, "/upload", Some(&sign(CHUNKED))));
    assert_unauthorised(&plain_upload(&server, "/upload?x=1", None));
    assert!(
        tree::list(&server.uploads_dir()).is_empty(),
        "the handler saw none of them"
    );
    let _ = plain_upload(&server, "/upload", Some(&sign("/upload"))).success();
    let _ = plain_upload(
        &server,
        "/upload?x=1",
        Some(&sign("/upload").to_uppercase()),
    )
    .success();
}

#[test]
fn a_trailing_slash_does_not_slip_past() {
    let server = Server::start("");
    assert_unauthorised(&plain_upload(&server, "/upload/", None));
    assert_unauthorised(&plain_upload(&server, "/upload/", Some(&sign("/upload"))));
    let reached = plain_upload(&server, "/upload/", Some(&sign("/upload/")));
    assert_eq!(reached.status, 404, "the app's own answer");
}

#[test]
fn protection_does_not_depend_on_the_feature_switches() {
    let server = Server::start("[uploads]\nchunked_uploads_enabled = false");
    plain_upload(&server, "/upload", None).refused(401, "signature_missing");
    let _ = plain_upload(&server, "/upload", Some(&sign("/upload"))).success();
}

#[test]
fn nothing_is_protected_unasked() {
    let server = Server::start("[security]\nprotect = []");
    let _ = plain_upload(&server, "/upload", None).success();
}

#[test]
fn security_can_be_switched_off() {
    let server = Server::start("[security]\nenabled = false");
    let request = server
        .client()
        .create_request("open.bin", 10)
        .without("X-Signature");
    let _ = request.send(server.addr()).status_is(201);
}

#[test]
fn the_public_path_may_be_signed_instead() {
    let server = Server::start("[server]\npublic_base = \"/media\"");
    assert_eq!(
        create(&server, CHUNKED, &sign("/media/upload/chunked")).status,
        201
    );
    assert_eq!(create(&server, CHUNKED, &sign(CHUNKED)).status, 201);
    assert_unauthorised(&create(&server, CHUNKED, &sign("/other/upload/chunked")));
}

#[test]
fn every_key_of_the_ring_is_good() {
    let keys = "[[security.keys]]\nid = \"new\"\nsecret = \"the new secret of the ring 2026\"\n\
                [[security.keys]]\nid = \"old\"\nsecret = \"the old secret of the ring 2025\"\n";
    let server = Server::with(&Config::with(keys).without("security", "secret"));
    for secret in [
        "the new secret of the ring 2026",
        "the old secret of the ring 2025",
    ] {
        assert_eq!(
            create(&server, CHUNKED, &data::hmac_hex(secret, CHUNKED)).status,
            201,
            "{secret}"
        );
    }
    assert_unauthorised(&create(&server, CHUNKED, &sign(CHUNKED)));
}

#[test]
fn weak_secrets_are_refused_at_start() {
    for weak in ["changeme", "secret", "short", ""] {
        let (_, logs) = Server::refused(&Config::default().set("security", "secret", weak));
        assert!(logs.contains("secret"), "the key is named: {logs}");
    }
}

#[test]
fn the_scheme_path_must_be_named() {
    let config = Config::default()
        .without("security", "schemes")
        .without("security", "protect");
    // The default scheme may not be built yet; then the program must refuse to start rather
    // than fall back to a weaker one.
    let started = std::panic::catch_unwind(|| Server::with(&config));
    if let Ok(server) = started {
        assert_unauthorised(&create(&server, CHUNKED, &sign(CHUNKED)));
    }
}
