//! Signatures of requests for the app itself, and of those that it is handed.

use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::message::{self, Signing};
use steadfast_tests::script::{Call, Script};
use steadfast_tests::upload::Session;

use crate::message::{MESSAGE, create_request, detail};

const BODY: &[&str] = &["@method", "@authority", "@path", "content-digest"];

fn upload(bytes: &[u8]) -> Request {
    let digest = data::digest_sha256(bytes);
    let request = Request::new("POST", "/upload").header("Content-Digest", digest);
    request.body(bytes)
}

fn app() -> App {
    App::start(MESSAGE, Script::storing())
}

#[test]
fn a_protected_path_takes_what_is_signed_whole() {
    let app = app();
    for len in [10, 3 << 20] {
        let file = data::random(1, len);
        let signed = Signing::default().sign(upload(&file), BODY);
        let _ = signed.send(app.addr()).success();
        let call = app.script().calls().pop().unwrap();
        assert!(call.body == file && !call.broken, "{len}");
        let _ = signed.send(app.addr()).refused(401, "signature_replayed");
    }
    let chunked = Signing::default()
        .sign(upload(b"in pieces"), BODY)
        .chunked(b"in pieces", 2);
    let _ = chunked.send(app.addr()).success();
    assert_eq!(app.script().calls().len(), 3);
}

#[test]
fn what_says_too_little_is_not_seen_by_the_app() {
    let app = app();
    let refused = |request: Request, components: &[&str], missing: &str| {
        let request = Signing::default().sign(request, components);
        let refusal = request
            .send(app.addr())
            .refused(401, "signature_incomplete");
        assert!(
            detail(&refusal).ends_with(&format!(": {missing}.")),
            "{}",
            detail(&refusal)
        );
    };
    refused(
        upload(b"x"),
        &["@method", "@authority", "@path"],
        "content-digest",
    );
    refused(upload(b"x").target("/upload?a=1"), BODY, "@query");
    let _ = upload(b"x")
        .send(app.addr())
        .refused(401, "signature_missing");
    let get = Request::new("GET", "/upload");
    let bare = Signing::default().sign(get, &["@method", "@authority", "@path"]);
    let _ = bare.send(app.addr()).success();
    let unreadable = upload(b"x").replace("Content-Digest", "md5=:AAAA:");
    let unreadable = Signing::default().sign(unreadable, BODY);
    let _ = unreadable.send(app.addr()).refused(400, "bad_digest");
    assert_eq!(app.script().calls().len(), 1);
}

/// Up to a mebibyte the app sees nothing of a body that is not what was signed.
#[test]
fn another_body_never_comes_whole() {
    let app = app();
    for len in [10, 1 << 20, 3 << 20] {
        let (file, mut other) = (data::random(2, len), data::random(2, len));
        other[len / 2] ^= 1;
        let stolen = Signing::default().sign(upload(&file), BODY).body(other);
        let _ = stolen.send(app.addr());
        let call = app.script().calls().pop().unwrap();
        assert!(call.broken, "{len}");
        let seen = call.body.len();
        assert!(seen + (1 << 20) <= len || seen == 0, "{seen} of {len}");
    }
}

/// A handler that verifies on its own finds what it looks for.
#[test]
fn what_is_handed_over_is_signed() {
    let app = App::start(
        "[security]\nschemes = [\"message\", \"path\"]",
        Script::storing(),
    );
    let file = data::random(3, CHUNK);
    let create = create_request("handed.bin", CHUNK);
    let create = Signing::default().sign(create, message::CREATE);
    let session = Session::from_answer(create.send(app.addr()).status_is(201).json());
    let _ = app.client().put_chunk(&session, &file, 0).status_is(200);
    let calls = app.script().calls();
    let call: &Call = calls.last().unwrap();
    assert_eq!(
        call.header("x-signature").unwrap(),
        steadfast_tests::upload::sign("/upload")
    );
    let input = call.header("signature-input").unwrap();
    let parameters = input.strip_prefix("steadfast=").unwrap();
    let parameter = |name: &str| {
        let (_, rest) = parameters.split_once(&format!(";{name}=")).unwrap();
        rest.split(';').next().unwrap().trim_matches('"').to_owned()
    };
    let signing = Signing {
        created: parameter("created").parse().unwrap(),
        nonce: parameter("nonce"),
        ..Signing::default()
    };
    let components = [
        "@method",
        "@authority",
        "@path",
        "content-type",
        "content-length",
        "idempotency-key",
    ];
    let mut again = Request::new("POST", "/upload");
    for name in &components[3..] {
        again = again.header(name, call.header(name).unwrap());
    }
    let again = signing.sign_with(again, &components, ";alg=\"hmac-sha256\"");
    let code = again.value_of("Signature").unwrap();
    assert_eq!(
        call.header("signature").unwrap(),
        code.replace("sig=", "steadfast=")
    );
}
