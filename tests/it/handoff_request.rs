//! The request that the old handler receives: design sections 1 and 4.

use std::collections::HashSet;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Response, StatusCode};
use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, Config, SECRET};
use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::multipart::{self, Part};
use steadfast_tests::script::{Answer, Call, Script};
use steadfast_tests::upload::{CHUNKED, sign};
use steadfast_tests::wait::{self, SOON};

fn deliver(app: &App, request: &Request, file: &[u8]) -> Call {
    let session = app.client().open(request);
    let before = app.script().count();
    let last = app.client().put_all(&session, file).status_is(200);
    assert_eq!(last.json()["completed"], true);
    let calls = app.script().calls();
    assert_eq!(calls.len(), before + 1, "one call");
    let call = calls[before].clone();
    assert!(!call.broken, "the body ends well");
    for (name, value) in &call.headers {
        assert!(
            !data::contains(value.as_bytes(), session.id.as_bytes()),
            "{name} carries the session id"
        );
    }
    assert!(!call.uri.to_string().contains(&session.id));
    call
}

fn the_part(call: &Call) -> Part {
    let mut parts = multipart::parse(call.header("content-type").unwrap(), &call.body);
    assert_eq!(parts.len(), 1, "the file and nothing else");
    parts.remove(0)
}

#[test]
fn is_the_form_the_handler_has_always_received() {
    let app = App::start("", Script::storing());
    let file = data::random(1, 3 * CHUNK + 17);
    let request = app
        .client()
        .create_request("report.pdf", file.len())
        .header("X-Content-Type", "application/pdf");
    let call = deliver(&app, &request, &file);
    assert_eq!(call.method, "POST");
    assert_eq!(call.uri.path(), "/upload");
    assert_eq!(call.uri.query(), None);
    assert_eq!(
        call.header("content-length").unwrap(),
        call.body.len().to_string(),
        "exact"
    );
    assert!(call.header("transfer-encoding").is_none());
    assert!(call.header("expect").is_none());
    assert_eq!(
        call.header("x-signature").unwrap().to_lowercase(),
        sign("/upload")
    );
    assert_eq!(call.header("idempotency-key").unwrap().len(), 22);
    for ours in [
        "x-upload-session-id",
        "x-chunk-number",
        "x-chunk-size",
        "x-total-size",
        "repr-digest",
    ] {
        assert!(
            call.header(ours).is_none(),
            "{ours} is no business of the handler"
        );
    }
    let part = the_part(&call);
    assert_eq!(part.parameter("name").unwrap(), "file");
    assert_eq!(part.parameter("filename").unwrap(), "report.pdf");
    assert_eq!(part.header("content-type").unwrap(), "application/pdf");
    assert!(part.body == file);
}

#[test]
fn says_what_it_does_not_know_plainly() {
    let app = App::start("", Script::storing());
    let call = deliver(&app, &app.client().create_request("x", 3), b"abc");
    let part = the_part(&call);
    let kind = part.header("content-type");
    assert!(
        kind.is_none_or(|kind| kind == "application/octet-stream"),
        "{kind:?}"
    );
    assert_eq!(part.body, b"abc");
}

#[test]
fn carries_names_that_need_escaping() {
    let app = App::start("", Script::storing());
    let names = [
        "a\"b.bin",
        "a\"; filename=\"evil.exe",
        "semi;colon.bin",
        "grüße 日本.bin",
        "🦀.rs",
        "100%.txt",
        "it's",
        "--b",
        "sp ace",
    ];
    for name in names {
        let call = deliver(&app, &app.client().create_request(name, 3), b"abc");
        let part = the_part(&call);
        assert_eq!(part.parameter("filename").as_deref(), Some(name));
        assert_eq!(
            part.headers
                .iter()
                .filter(|(known, _)| known == "content-disposition")
                .count(),
            1
        );
        assert_eq!(part.body, b"abc");
    }
}

#[test]
fn carries_any_bytes() {
    let app = App::start("", Script::storing());
    let mut boundaries = HashSet::new();
    let lines =
        "\r\n--\r\n----\r\n--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n--b--\r\n"
            .repeat(50);
    let all_bytes: Vec<u8> = (0..=255).collect();
    for file in [
        b"".to_vec(),
        b"\r\n".to_vec(),
        b"--".to_vec(),
        lines.into_bytes(),
        all_bytes,
        vec![0; CHUNK],
        vec![b'-'; CHUNK],
    ] {
        if file.is_empty() {
            let _ = app
                .client()
                .create_request("empty", 0)
                .send(app.addr())
                .status_is(201);
        } else {
            let _ = deliver(
                &app,
                &app.client().create_request("bytes", file.len()),
                &file,
            );
        }
        let call = app.script().calls().pop().unwrap();
        assert_eq!(
            call.header("content-length").unwrap(),
            call.body.len().to_string()
        );
        assert!(the_part(&call).body == file);
        boundaries.insert(multipart::boundary(call.header("content-type").unwrap()));
    }
    assert_eq!(boundaries.len(), 7, "nobody can foresee a boundary");
}

/// The moment `after` from now, as a configuration writes it.
fn moment(after: Duration) -> String {
    let moment = SystemTime::now() + after;
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let date = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

#[test]
fn is_signed_with_the_key_of_that_moment() {
    let (old, end) = ("the old secret of the ring 2025", Duration::from_secs(3));
    let keys = format!(
        "[[security.keys]]\nid = \"old\"\nsecret = \"{old}\"\nnot_after = \"{}\"\n\
         [[security.keys]]\nid = \"new\"\nsecret = \"{SECRET}\"\n",
        moment(end)
    );
    let config = Config::default().without("security", "secret").and(&keys);
    let begun = Instant::now();
    let app = App::hooked(config, Script::storing(), |layer| layer);
    let signature = || {
        let call = deliver(&app, &app.client().create_request("x.bin", 3), b"abc");
        call.header("x-signature").unwrap().to_lowercase()
    };
    let first = signature();
    if begun.elapsed() < end - Duration::from_secs(1) {
        assert_eq!(first, data::hmac_hex(old, "/upload"));
    }
    wait::eventually("the new key signs", SOON, || {
        (signature() == sign("/upload")).then_some(())
    });
}

#[test]
fn is_as_configured() {
    let app = App::start(
        "[delivery]\npath = \"/api/v1/files\"\nmethod = \"PUT\"\nfield = \"document\"\n[security]\nprotect = []",
        Script::storing(),
    );
    let call = deliver(&app, &app.client().create_request("x.bin", 3), b"abc");
    assert_eq!(call.method, "PUT");
    assert_eq!(call.uri.path(), "/api/v1/files");
    assert_eq!(
        call.header("x-signature").unwrap().to_lowercase(),
        sign("/api/v1/files")
    );
    assert_eq!(the_part(&call).parameter("name").unwrap(), "document");
}

#[test]
fn may_be_the_bare_bytes() {
    let app = App::start("[delivery]\nform = \"raw\"", Script::storing());
    let file = data::random(2, 2 * CHUNK + 1);
    let request = app
        .client()
        .create_request("raw.png", file.len())
        .header("X-Content-Type", "image/png");
    let call = deliver(&app, &request, &file);
    assert_eq!(call.header("content-type"), Some("image/png"));
    assert_eq!(
        call.header("content-length").unwrap(),
        file.len().to_string()
    );
    assert!(call.header("transfer-encoding").is_none());
    assert!(call.body == file);
}

#[test]
fn carries_the_headers_that_were_asked_for() {
    let app = App::start(
        "[delivery]\nforward_headers = [\"Authorization\", \"X-Tenant\"]",
        Script::storing(),
    );
    let request = app
        .client()
        .create_request("x.bin", 3)
        .header("Authorization", "Bearer t0k3n");
    let request = request
        .header("X-Tenant", "blue")
        .header("Cookie", "a=b")
        .header("X-Other", "1");
    let call = deliver(&app, &request, b"abc");
    assert_eq!(call.header("authorization"), Some("Bearer t0k3n"));
    assert_eq!(call.header("x-tenant"), Some("blue"));
    assert!(call.header("cookie").is_none());
    assert!(call.header("x-other").is_none());
}

#[test]
fn forwards_headers_of_the_create_after_a_restart() {
    let mut app = App::start(
        "[delivery]\nforward_headers = [\"Authorization\"]",
        Script::storing(),
    );
    let request = app
        .client()
        .create_request("x.bin", 3)
        .header("Authorization", "Bearer t0k3n");
    let session = app.client().open(&request);
    app.restart(Script::storing());
    let _ = app.client().put(&session, 0, b"abc").status_is(200);
    assert_eq!(
        app.script().only_call().header("authorization"),
        Some("Bearer t0k3n")
    );
}

#[test]
fn the_host_of_an_absolute_target_counts() {
    // RFC 9112, section 3.2.2: whatever `Host` says.
    let app = App::start("", Script::storing());
    let target = format!("http://user:word@files.example:81{CHUNKED}");
    let request = app.client().create_request("x.bin", 3).target(&target);
    let call = deliver(&app, &request, b"abc");
    assert_eq!(call.header("host"), Some("files.example:81"));
}

#[test]
fn two_hosts_are_refused() {
    // Who routed by one of them must not be surprised by a hand-off with the other.
    let app = App::start("", Script::storing());
    let request = app.client().create_request("x.bin", 3);
    let request = request.header("Host", "files.example");
    request.send(app.addr()).refused(400, "duplicate_header");
}

#[test]
fn headers_that_steer_the_connection_cannot_be_forwarded() {
    for header in [
        "Host",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "X-Forwarded-For",
        "Forwarded",
        "X-Signature",
    ] {
        let config = Config::with(&format!("[delivery]\nforward_headers = [\"{header}\"]"));
        // Either the configuration is refused, or the header is not taken from the create.
        let started =
            std::panic::catch_unwind(|| App::hooked(config, Script::storing(), |layer| layer));
        let Ok(app) = started else { continue };
        let request = app.client().create_request("x.bin", 3);
        let request = if header == "X-Forwarded-For" || header == "Forwarded" {
            request.header(header, "for=6.6.6.6")
        } else {
            request
        };
        let call = deliver(&app, &request, b"abc");
        assert_eq!(
            call.header("content-length").unwrap(),
            call.body.len().to_string()
        );
        assert_eq!(the_part(&call).body, b"abc");
        assert_eq!(
            call.header("x-signature").unwrap().to_lowercase(),
            sign("/upload")
        );
        assert!(call.header("x-forwarded-for").is_none() && call.header("forwarded").is_none());
    }
}

#[test]
fn may_be_completed_by_the_app() {
    let app = App::hooked(Config::default(), Script::storing(), |layer| {
        layer.on_handoff(|parts, _finished| {
            parts
                .headers
                .insert("x-from-the-app", http::HeaderValue::from_static("yes"));
        })
    });
    let call = deliver(&app, &app.client().create_request("x.bin", 3), b"abc");
    assert_eq!(call.header("x-from-the-app"), Some("yes"));
}

#[test]
#[allow(clippy::result_large_err)]
fn the_app_may_refuse_an_upload_before_a_byte_is_sent() {
    let app = App::hooked(Config::default(), Script::storing(), |layer| {
        layer.on_create(|parts, _declaration| {
            if parts.headers.contains_key("x-member") {
                return Ok(steadfast::upload::Owner("member".to_owned()));
            }
            let refusal = Response::builder()
                .status(StatusCode::FORBIDDEN)
                .header("x-why", "members only");
            Err(refusal
                .body(bytes::Bytes::from_static(b"members only"))
                .unwrap())
        })
    });
    let request = app.client().create_request("x.bin", 3);
    let refused = request.send(app.addr()).status_is(403);
    assert_eq!(refused.body, b"members only");
    assert_eq!(refused.text("x-why").as_deref(), Some("members only"));
    let _ = deliver(&app, &request.header("X-Member", "1"), b"abc");
}

#[test]
fn comes_only_when_every_byte_is_there() {
    let app = App::start("", Script::storing());
    let file = data::random(3, 3 * CHUNK);
    let session = app.client().create("whole.bin", file.len());
    for index in [2, 0] {
        let _ = app
            .client()
            .put_chunk(&session, &file, index)
            .status_is(200);
        let _ = app.client().status(&session);
        assert_eq!(app.script().count(), 0);
    }
    let _ = app.client().put_chunk(&session, &file, 1).status_is(200);
    assert!(the_part(&app.script().only_call()).body == file);
}

#[test]
fn a_handler_that_does_not_read_it_is_no_trouble() {
    let app = App::start("", Script::always(Answer::text(200, "")));
    let file = data::random(4, 20 * CHUNK);
    let call = deliver(
        &app,
        &app.client().create_request("x.bin", file.len()),
        &file,
    );
    assert!(the_part(&call).body == file);
}
