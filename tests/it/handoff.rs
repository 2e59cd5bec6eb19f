//! What becomes of the handler's answer: protocol section 1.2, design section 4.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Response};
use steadfast_tests::script::{Answer, Gate, Reply, Script};
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

const FILE: &[u8] = b"0123456789";

/// Sends one small file and returns the last answer.
fn send(app: &App) -> (Session, Response) {
    app.client().upload("answer.bin", FILE)
}

fn resend(app: &App, session: &Session) -> Response {
    app.client().put(session, 0, FILE)
}

/// A handler that does the odd thing `times` times and then stores.
fn at_first(times: usize, odd: impl Into<Reply>) -> Script {
    let odd = odd.into();
    Script::new(move |call| match call.index {
        index if index < times => odd.clone(),
        index => Answer::text(201, &format!("stored #{index}")).into(),
    })
}

#[track_caller]
fn assert_undelivered(response: &Response, status: u16) {
    assert_eq!(
        response.status,
        status,
        "{}",
        String::from_utf8_lossy(&response.body)
    );
    assert_eq!(
        response.text("x-upload-state").as_deref(),
        Some("undelivered")
    );
    let after = response.text("retry-after").expect("when to come back");
    assert!(after.parse::<u64>().is_ok(), "{after}");
}

#[test]
fn success_completes_the_upload() {
    for status in [200, 201, 202, 204, 303] {
        let text = if status == 204 {
            ""
        } else {
            "as the handler says"
        };
        let answer = Answer::text(status, text)
            .header("location", "/files/1")
            .header("set-cookie", "s=1");
        let app = App::start("", Script::always(answer));
        let (session, last) = send(&app);
        let last = last.status_is(200);
        assert!(last.text("set-cookie").is_none());
        let json = last.json();
        assert_eq!(json["completed"], true);
        assert_eq!(json["handler"]["status"], status);
        assert_eq!(json["handler"]["content_type"], "text/plain");
        assert_eq!(json["handler"]["body"].as_str().unwrap_or_default(), text);
        assert_eq!(app.client().state(&session), "completed");
        assert_eq!(
            resend(&app, &session).status_is(200).json()["handler"],
            json["handler"]
        );
        assert_eq!(app.script().count(), 1);
    }
}

#[test]
fn a_rejection_reaches_the_client_as_it_is() {
    for status in [400, 401, 403, 409, 413, 415, 422] {
        let body = r#"{"errors":["no .exe"]}"#;
        let answer = Answer {
            status,
            headers: vec![("content-type", "application/vnd.app+json".into())],
            body: body.into(),
        };
        let answer = answer
            .header("set-cookie", "session=stolen")
            .header("www-authenticate", "Basic");
        let app = App::start(
            "",
            Script::always(answer.header("etag", "\"v1\"").header("x-internal", "1")),
        );
        let (session, last) = send(&app);
        for response in [last, resend(&app, &session), resend(&app, &session)] {
            assert_eq!(response.status, status);
            assert_eq!(response.body, body.as_bytes());
            assert_eq!(
                response.text("content-type").as_deref(),
                Some("application/vnd.app+json")
            );
            assert_eq!(response.text("www-authenticate").as_deref(), Some("Basic"));
            assert_eq!(response.text("etag").as_deref(), Some("\"v1\""));
            assert_eq!(response.text("x-upload-state").as_deref(), Some("rejected"));
            assert!(
                response.text("set-cookie").is_none(),
                "a stored answer carries no cookie"
            );
        }
        let shown = app.client().status(&session);
        assert_eq!(shown["state"], "rejected");
        assert_eq!(shown["completed"], false);
        assert_eq!(shown["handler"]["status"], status);
        assert_eq!(app.script().count(), 1, "it is not asked again");
    }
}

#[test]
fn a_passing_failure_is_retried_without_the_client() {
    for status in [404, 405, 408, 421, 425, 429, 500, 502, 503] {
        let app = App::start("", at_first(1, Answer::text(status, "not now")));
        let (session, last) = send(&app);
        assert_undelivered(&last, status);
        let shown = app.client().until_state(&session, "completed");
        assert_eq!(shown["handler"]["body"], "stored #1", "{status}");
        let calls = app.script().calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(
            calls[0].header("idempotency-key"),
            calls[1].header("idempotency-key")
        );
        let answer = resend(&app, &session).status_is(200).json();
        assert_eq!(answer["completed"], true);
        assert_eq!(answer["handler"]["body"], "stored #1");
        assert_eq!(app.script().count(), 2);
    }
}

#[test]
fn a_retry_sends_the_whole_file_again() {
    let app = App::start(
        "[delivery]\nform = \"raw\"",
        at_first(2, Answer::text(503, "not now")),
    );
    let file = data::random(1, 2 * CHUNK + 3);
    let (session, last) = app.client().upload("retry.bin", &file);
    assert_undelivered(&last, 503);
    let _ = app.client().until_state(&session, "completed");
    let calls = app.script().calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.body == file && !call.broken));
}

#[test]
fn an_undelivered_upload_says_so_and_asking_does_not_push_it() {
    let app = App::start("", Script::always(Answer::text(503, "not now")));
    let (session, last) = send(&app);
    assert_undelivered(&last, 503);
    let calls = app.script().count();
    let mut seen = 0;
    wait::until("the next attempt comes by itself", SOON, || {
        let status = app.client().status(&session);
        let state = status["state"].as_str().unwrap().to_owned();
        assert!(
            ["undelivered", "finishing"].contains(&state.as_str()),
            "{state}"
        );
        assert_eq!(status["completed"], false);
        assert_eq!(status["uploaded_bytes"], FILE.len());
        seen += 1;
        app.script().count() > calls
    });
    assert!(
        app.script().count() < seen,
        "{seen} questions do not make as many attempts"
    );
}

#[test]
fn a_client_may_pull_an_attempt_forward() {
    let app = App::start("", at_first(1, Answer::text(503, "not now")));
    let (session, last) = send(&app);
    assert_undelivered(&last, 503);
    let answer = wait::eventually("a re-sent chunk gets the answer", SOON, || {
        let response = resend(&app, &session);
        if response.status == 200 {
            return Some(response.json());
        }
        assert_undelivered(&response, 503);
        None
    });
    assert_eq!(answer["completed"], true);
    assert_eq!(answer["duplicate"], true);
    assert_eq!(app.script().count(), 2);
}

#[test]
fn what_nobody_can_know_is_retried() {
    for (odd, status) in [(Reply::Panic, 502), (Reply::Hang, 504)] {
        let app = App::start("[delivery]\ntimeout = \"300ms\"", at_first(1, odd.clone()));
        let (session, last) = send(&app);
        assert_undelivered(&last, status);
        let shown = app.client().until_state(&session, "completed");
        assert_eq!(shown["handler"]["body"], "stored #1", "{odd:?}");
        let calls = app.script().calls();
        assert_eq!(
            calls[0].header("idempotency-key"),
            calls[1].header("idempotency-key")
        );
    }
}

#[test]
fn a_handler_that_fails_is_retried() {
    let app = App::start("", at_first(1, Reply::Fail));
    let (session, last) = send(&app);
    assert!((500..600).contains(&last.status), "{}", last.status);
    assert_eq!(last.text("x-upload-state").as_deref(), Some("undelivered"));
    assert!(
        !data::contains(&last.body, b"on purpose"),
        "causes go to the log only"
    );
    let _ = app.client().until_state(&session, "completed");
}

#[test]
fn what_nobody_can_know_is_held_when_told_so() {
    for odd in [Reply::Panic, Reply::Hang, Reply::Fail] {
        let app = App::start(
            "[delivery]\ntimeout = \"300ms\"\non_unknown = \"hold\"",
            at_first(1, odd.clone()),
        );
        let (session, last) = send(&app);
        last.refused(409, "handoff_unknown");
        assert_eq!(app.client().state(&session), "unknown", "{odd:?}");
        for _ in 0..3 {
            resend(&app, &session).refused(409, "handoff_unknown");
        }
        assert_eq!(app.script().count(), 1, "nobody decides for the operator");
    }
}

#[test]
fn a_slow_handler_is_waited_for_elsewhere() {
    let gate = Gate::default();
    let reply = Reply::After(gate.clone(), Answer::text(201, "at last"));
    let app = App::start(
        "[delivery]\nfinalize_wait = \"200ms\"",
        Script::always(reply),
    );
    let (session, last) = send(&app);
    let last = last.status_is(202);
    assert!(
        last.text("retry-after")
            .expect("when to ask")
            .parse::<u64>()
            .is_ok()
    );
    let json = last.json();
    assert_eq!(json["completed"], false);
    assert_eq!(json["state"], "finishing");
    let status = app.client().status(&session);
    assert_eq!(status["state"], "finishing");
    assert_eq!(status["uploaded_bytes"], FILE.len());
    let _ = resend(&app, &session).status_is(202);
    gate.open();
    let status = app.client().until_state(&session, "completed");
    assert_eq!(status["handler"]["body"], "at last");
    let answer = resend(&app, &session).status_is(200).json();
    assert_eq!(answer["handler"]["body"], "at last");
    assert_eq!(app.script().count(), 1);
}

#[test]
fn a_lost_answer_is_given_again() {
    let gate = Gate::default();
    let reply = Reply::After(gate.clone(), Answer::text(201, "once"));
    let app = App::start("", Script::always(reply));
    let session = app.client().create("lost.bin", FILE.len());
    let request = app.client().chunk_request(&session, 0, FILE);
    let mut connection = Connection::open(app.addr());
    connection
        .write(&[request.head(), request.framed_body()].concat())
        .unwrap();
    wait::until("the handler is called", SOON, || app.script().count() == 1);
    drop(connection);
    gate.open();
    let answer = resend(&app, &session).status_is(200).json();
    assert_eq!(answer["completed"], true);
    assert_eq!(answer["handler"]["body"], "once");
    assert_eq!(app.script().count(), 1);
}

#[test]
fn a_handler_outlives_the_client_that_woke_it() {
    let gate = Gate::default();
    let reply = Reply::After(gate.clone(), Answer::text(201, "alone"));
    let app = App::start("", Script::always(reply));
    let session = app.client().create("alone.bin", FILE.len());
    let request = app.client().chunk_request(&session, 0, FILE);
    let mut connection = Connection::open(app.addr());
    connection
        .write(&[request.head(), request.framed_body()].concat())
        .unwrap();
    wait::until("the handler is called", SOON, || app.script().count() == 1);
    drop(connection);
    gate.open();
    let status = app.client().until_state(&session, "completed");
    assert_eq!(status["handler"]["body"], "alone");
}

#[test]
fn only_so_many_handlers_work_at_once() {
    let gate = Gate::default();
    let reply = Reply::After(gate.clone(), Answer::text(201, "done"));
    let app = App::start(
        "[delivery]\nmax_concurrent = 2\nfinalize_wait = \"200ms\"",
        Script::always(reply),
    );
    let sessions: Vec<_> = (0..6)
        .map(|_| {
            let (session, last) = send(&app);
            let _ = last.status_is(202);
            session
        })
        .collect();
    assert_eq!(app.script().count(), 2);
    gate.open();
    for session in &sessions {
        let _ = app.client().until_state(session, "completed");
    }
    assert_eq!(app.script().count(), 6);
}

#[test]
fn attempts_become_rarer() {
    let app = App::start("", Script::always(Answer::text(503, "not now")));
    let begin = Instant::now();
    let (_, last) = send(&app);
    assert_undelivered(&last, 503);
    wait::until("a third attempt", SOON, || app.script().count() >= 3);
    assert!(
        begin.elapsed() >= Duration::from_millis(1500),
        "1 s, then 2 s: {:?}",
        begin.elapsed()
    );
}

#[test]
fn a_long_answer_is_cut() {
    let body = "0123456789abcdef".repeat(8 * 1024);
    let app = App::start("", Script::always(Answer::text(200, &body)));
    let handler = send(&app).1.status_is(200).json()["handler"].clone();
    assert_eq!(handler["body_truncated"], true);
    assert_eq!(handler["body"], &body[..64 * 1024]);
    let short = "x".repeat(64 * 1024);
    let app = App::start("", Script::always(Answer::text(200, &short)));
    let handler = send(&app).1.status_is(200).json()["handler"].clone();
    assert_eq!(handler["body"], short);
    assert_ne!(handler["body_truncated"], true);
}

#[test]
fn an_answer_that_is_no_text_is_encoded() {
    let bytes = data::random(2, 1000);
    let answer = Answer {
        status: 200,
        headers: vec![("content-type", "image/png".into())],
        body: bytes.clone(),
    };
    let app = App::start("", Script::always(answer));
    let handler = send(&app).1.status_is(200).json()["handler"].clone();
    assert_eq!(handler["content_type"], "image/png");
    let encoded = handler["body_base64"].as_str().expect("base64");
    assert_eq!(STANDARD.decode(encoded).unwrap(), bytes);
    assert!(handler["body"].is_null(), "{handler}");
}

#[test]
fn an_empty_file_has_a_digest_too() {
    for form in ["multipart", "raw"] {
        let app = App::start(&format!("[delivery]\nform = \"{form}\""), Script::storing());
        let created = app.client().create_request("empty.bin", 0).send(app.addr());
        let created = created.status_is(201).json();
        assert_eq!(created["completed"], true, "{form}");
        assert_eq!(created["sha256"], data::sha256_hex(b""), "{form}");
    }
}

#[test]
fn an_empty_file_meets_every_outcome() {
    let app = App::start("", at_first(1, Answer::text(503, "not now")));
    let response = app.client().create_request("empty.bin", 0).send(app.addr());
    assert_eq!(
        response.text("x-upload-state").as_deref(),
        Some("undelivered"),
        "{}",
        response.status
    );
    wait::until("it is delivered", SOON, || app.script().count() == 2);
    let app = App::start("", Script::always(Answer::text(422, "no empty files")));
    let response = app.client().create_request("empty.bin", 0).send(app.addr());
    assert_eq!(response.status, 422);
    assert_eq!(response.body, b"no empty files");
    assert_eq!(response.text("x-upload-state").as_deref(), Some("rejected"));
}
