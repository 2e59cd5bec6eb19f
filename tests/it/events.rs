//! Streams of an upload's events: protocol section 1.5.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast::Uploads;
use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Events, Request, Response};
use steadfast_tests::script::{Answer, Gate, Reply, Script};
use steadfast_tests::server::Server;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

fn request(id: &str) -> Request {
    Request::new("GET", &format!("/upload/events?session_id={id}"))
}

fn ask(server: &Server, session: &Session) -> Response {
    request(&session.id).send(server.addr())
}

/// An app, and the handle on its uploads.
fn managed(extra: &str, script: Script) -> (App, Uploads) {
    let slot = Arc::<OnceLock<Uploads>>::default();
    let taken = Arc::clone(&slot);
    let app = App::hooked(Config::with(extra), script, move |layer| {
        let _ = taken.set(layer.uploads());
        layer
    });
    let uploads = slot.get().expect("the layer was made").clone();
    (app, uploads)
}

/// All names but those of repeated progress.
fn essence(names: &[String]) -> Vec<&str> {
    let mut kept: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = kept.iter().position(|name| *name == "progress");
    let mut at = 0;
    kept.retain(|name| {
        at += 1;
        *name != "progress" || Some(at - 1) == first
    });
    kept
}

#[test]
fn an_upload_is_seen_from_its_status_to_its_end() {
    let gate = Gate::default();
    let handler = gate.clone();
    let script =
        Script::new(move |_| Reply::After(handler.clone(), Answer::text(201, "it is stored")));
    let (app, uploads) = managed("", script);
    let file = data::random(1, 2 * CHUNK);
    let session = app.client().create("seen.bin", file.len());
    let mut stream = Events::open(app.addr(), &session.id);
    let first = stream.next_event().unwrap();
    assert_eq!(first.name, "snapshot");
    assert_eq!(first.data, app.client().status(&session));
    assert_eq!(first.data["session_id"], session.id.as_str());

    let _ = app.client().put_chunk(&session, &file, 0).status_is(200);
    let mut seen = vec![first, stream.next_event().unwrap()];
    assert_eq!(seen[1].name, "progress");
    assert_eq!(seen[1].data["uploaded_bytes"], CHUNK);
    assert_eq!(seen[1].data["progress"], 0.5);
    uploads.pause();
    seen.push(stream.next_event().unwrap());
    assert_eq!(
        (&*seen[2].name, &seen[2].data["paused"]),
        ("paused", &Value::Bool(true))
    );
    assert_eq!(app.client().status(&session)["paused"], true);
    uploads.resume();
    seen.push(stream.next_event().unwrap());
    assert_eq!(
        (&*seen[3].name, &seen[3].data["paused"]),
        ("resumed", &Value::Bool(false))
    );

    std::thread::scope(|scope| {
        scope.spawn(|| app.client().put_chunk(&session, &file, 1).status_is(200));
        let finishing = std::iter::from_fn(|| stream.next_event());
        let mut finishing = finishing.skip_while(|event| event.name == "progress");
        let finishing = finishing.next().unwrap();
        assert_eq!(finishing.name, "finishing");
        assert_eq!(finishing.data["state"], "finishing");
        assert_eq!(finishing.data["progress"], 1.0);
        seen.push(finishing);
        gate.open();
    });
    let last = stream.next_event().unwrap();
    assert_eq!(last.name, "completed");
    assert_eq!(last.data, app.client().status(&session));
    assert_eq!(last.data["handler"]["body"], "it is stored");
    seen.push(last);
    assert_eq!(stream.next_event(), None, "nothing happens any more");
    let ids: Vec<_> = seen.iter().map(|event| event.id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
}

#[test]
fn every_end_is_told_as_what_it_is() {
    let script = Script::new(|call| match call.index {
        0 => Answer::text(422, "no").into(),
        1 => Answer::text(503, "later").into(),
        _ => Answer::text(200, "yes").into(),
    });
    let (app, _) = managed("", script);
    let file = data::random(2, CHUNK);
    let send = |name: &str| {
        let session = app.client().create(name, file.len());
        let stream = Events::open(app.addr(), &session.id);
        let _ = app.client().put_chunk(&session, &file, 0);
        essence(&stream.names()).join(" ")
    };
    assert_eq!(send("a.bin"), "snapshot progress finishing rejected");
    let retried = "snapshot progress finishing undelivered finishing completed";
    assert_eq!(send("b.bin"), retried);
    let session = app.client().create("c.bin", file.len());
    let stream = Events::open(app.addr(), &session.id);
    let _ = app.client().cancel(&session).status_is(204);
    assert_eq!(stream.names(), ["snapshot", "cancelled"]);
}

#[test]
fn what_expires_says_so_and_ends() {
    let (app, _) = managed("[uploads]\nmax_resumable_age = \"1s\"", Script::storing());
    let session = app.client().create("old.bin", CHUNK);
    let stream = Events::open(app.addr(), &session.id);
    assert_eq!(stream.names(), ["snapshot", "expired"]);
}

#[test]
fn who_comes_again_gets_the_status_again() {
    let server = Server::start("");
    let file = data::random(3, 2 * CHUNK);
    let session = server.client().create("again.bin", file.len());
    let held = |bytes: usize| {
        let mut stream = Events::open(server.addr(), &session.id);
        let snapshot = stream.next_event().unwrap();
        assert_eq!(snapshot.name, "snapshot");
        assert_eq!(snapshot.data["uploaded_bytes"], bytes);
        snapshot.id
    };
    held(0);
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    held(CHUNK);
    let _ = server.client().put_chunk(&session, &file, 1).status_is(200);
    let mut stream = Events::open(server.addr(), &session.id);
    let last = stream.next_event().unwrap();
    assert_eq!(last.data["completed"], true);
    assert_eq!(stream.next_event(), None, "it has ended");
    // A browser that has seen the end is told to come no more.
    let seen = |id: u64| {
        let request = request(&session.id).header("Last-Event-ID", id.to_string());
        request.method("HEAD").send(server.addr()).status
    };
    assert_eq!((seen(last.id), seen(last.id - 1)), (204, 200));
}

#[test]
fn an_upload_has_four_streams_and_who_leaves_makes_room_at_once() {
    let server = Server::start("");
    let session = server.client().create("watched.bin", CHUNK);
    let mut open: Vec<_> = (0..4)
        .map(|_| Events::open(server.addr(), &session.id))
        .collect();
    let refused = ask(&server, &session).refused(429, "too_many_streams");
    assert!(refused.text("retry-after").is_some());
    let other = server.client().create("other.bin", CHUNK);
    drop(Events::open(server.addr(), &other.id));
    for _ in 0..3 {
        open.pop();
        let left = Instant::now();
        let again = wait::eventually("a place is free", SOON, || {
            let mut connection = Connection::open(server.addr());
            let request = request(&session.id).method("HEAD");
            let free = connection.exchange(&request).unwrap().status == 200;
            free.then(|| Events::open(server.addr(), &session.id))
        });
        assert!(left.elapsed() < Duration::from_secs(1));
        open.push(again);
    }
    ask(&server, &session).refused(429, "too_many_streams");
}

#[test]
fn progress_is_told_four_times_a_second_at_most() {
    let server = Server::start("");
    let file = data::random(4, 200 * CHUNK);
    let session = server.client().create("fast.bin", file.len());
    let stream = Events::open(server.addr(), &session.id);
    let begun = Instant::now();
    let _ = server.client().put_all(&session, &file).status_is(200);
    let names = stream.names();
    let told = names.iter().filter(|name| *name == "progress").count();
    let most = begun.elapsed().as_millis() / 250 + 1;
    assert!((1..=most).contains(&(told as u128)), "{told} of {most}");
    assert_eq!(names.last().unwrap(), "completed");
}

#[test]
fn nobody_waits_for_who_does_not_read() {
    let server = Server::start("");
    let file = data::random(5, 200 * CHUNK);
    let session = server.client().create("unread.bin", file.len());
    let _unread: Vec<_> = (0..4)
        .map(|_| Events::open(server.addr(), &session.id))
        .collect();
    let last = server.client().put_all(&session, &file).status_is(200);
    assert_eq!(last.json()["completed"], true);
}

#[test]
fn a_server_that_ends_closes_its_streams() {
    let mut server = Server::start("");
    let session = server.client().create("open.bin", CHUNK);
    let stream = Events::open(server.addr(), &session.id);
    server.process().ask_to_end();
    let asked = Instant::now();
    assert_eq!(stream.names(), ["snapshot"], "it ends in good order");
    assert!(server.terminate().success());
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[test]
fn it_is_refused_as_status_is() {
    let server = Server::start("");
    let session = server.client().create("refused.bin", CHUNK);
    let other = request(&"x".repeat(43)).send(server.addr());
    other.refused(404, "no_session");
    let nothing = Request::new("GET", "/upload/events").send(server.addr());
    nothing.refused(400, "missing_parameter");
    let posted = request(&session.id)
        .method("POST")
        .body("")
        .send(server.addr());
    let posted = posted.refused(405, "method_not_allowed");
    assert_eq!(posted.text("allow").as_deref(), Some("GET, HEAD, OPTIONS"));
    let options = request(&session.id).method("OPTIONS").send(server.addr());
    let options = options.status_is(204);
    assert_eq!(options.text("allow").as_deref(), Some("GET, HEAD, OPTIONS"));
    let head = request(&session.id).method("HEAD").send(server.addr());
    let head = head.status_is(200);
    assert_eq!(
        head.text("content-type").as_deref(),
        Some("text/event-stream")
    );
    let by_header = Request::new("HEAD", "/upload/events");
    let by_header = by_header.header("X-Upload-Session-ID", &session.id);
    let _ = by_header.send(server.addr()).status_is(200);
}
