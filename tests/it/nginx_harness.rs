//! The shipped configuration of nginx sends requests where they belong, shown with servers that
//! only say who they are.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use steadfast_tests::accept::Acceptor;
use steadfast_tests::http::{Connection, Request, Response};
use steadfast_tests::nginx::Nginx;
use steadfast_tests::server::free_address;
use steadfast_tests::wait::{SOON, until};

use crate::machine;

const NAMES: [&str; 3] = ["a", "berlin-2", "0"];

/// What a session id has behind its name.
fn random() -> String {
    "Az09_-x".repeat(7)[..43].to_owned()
}

/// A server that answers with its name and the head it was sent, one request a connection.
struct Tiny {
    name: String,
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<Acceptor>,
}

#[derive(Default)]
struct Shared {
    /// Closes the connection when it has read the request, without an answer.
    mute: AtomicBool,
    /// Requests read.
    seen: AtomicUsize,
    /// The start of a body, as soon as it is there.
    early: Mutex<Vec<u8>>,
}

impl Tiny {
    fn start(name: &str) -> Self {
        let mut tiny = Self {
            name: name.to_owned(),
            addr: free_address(),
            shared: Arc::default(),
            acceptor: None,
        };
        tiny.listen();
        tiny
    }

    fn listen(&mut self) {
        let (name, shared) = (self.name.clone(), Arc::clone(&self.shared));
        self.acceptor = Some(Acceptor::start(self.addr, move |stream| {
            let _ = serve(&stream, &name, &shared);
        }));
    }

    /// Nobody listens there any more.
    fn stop(&mut self) {
        drop(self.acceptor.take());
    }

    fn seen(&self) -> usize {
        self.shared.seen.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: &TcpStream, name: &str, shared: &Shared) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|at| at == b"\r\n\r\n") {
            break at + 4;
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&piece[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let lower = head.to_lowercase();
    let length = lower.split("\r\ncontent-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    while bytes.len() < head_end + length.unwrap_or(0) {
        *shared.early.lock().unwrap() = bytes[head_end..].to_vec();
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&piece[..count]);
    }
    shared.seen.fetch_add(1, Ordering::SeqCst);
    if shared.mute.load(Ordering::SeqCst) {
        return Ok(());
    }
    let (status, length) = ("HTTP/1.1 200 OK\r\nConnection: close", head.len());
    write!(
        stream,
        "{status}\r\nX-Served-By: {name}\r\nContent-Length: {length}\r\n\r\n{head}"
    )
}

/// nginx before three servers, or nothing where there is no nginx.
fn fleet(test: &str) -> Option<(Vec<Tiny>, Nginx)> {
    machine::has_program(test, "nginx").then(|| {
        let tinies: Vec<_> = NAMES.iter().map(|name| Tiny::start(name)).collect();
        let servers: Vec<_> = tinies
            .iter()
            .map(|tiny| (tiny.name.as_str(), tiny.addr))
            .collect();
        let nginx = Nginx::start(&servers);
        (tinies, nginx)
    })
}

fn create() -> Request {
    Request::new("POST", "/upload/chunked")
        .header("X-Filename", "a")
        .body("")
}

fn chunk(name: &str) -> Request {
    let session = format!("{name}.{}", random());
    Request::new("PUT", "/upload/chunked")
        .header("X-Upload-Session-ID", session)
        .body("bytes")
}

fn status(name: &str) -> Request {
    Request::new(
        "GET",
        &format!("/upload/status?x=1&session_id={name}.{}", random()),
    )
}

fn served_by(response: &Response) -> String {
    response
        .text("x-served-by")
        .unwrap_or_else(|| panic!("{response:?}"))
}

fn send(nginx: &Nginx, request: &Request) -> String {
    served_by(&request.send(nginx.addr()).status_is(200))
}

/// Who answers a request that may go to anyone.
fn answering(nginx: &Nginx, request: &Request) -> BTreeSet<String> {
    (0..6).map(|_| send(nginx, request)).collect()
}

#[test]
fn a_session_goes_to_the_server_that_it_names() {
    let Some((_tinies, nginx)) = fleet("a_session_goes_to_the_server_that_it_names") else {
        return;
    };
    for _ in 0..3 {
        for name in NAMES {
            assert_eq!(send(&nginx, &chunk(name)), name);
            assert_eq!(send(&nginx, &status(name)), name);
        }
    }
    // The header counts.
    let both = status("a").header("X-Upload-Session-ID", format!("0.{}", random()));
    assert_eq!(send(&nginx, &both), "0");
}

#[test]
fn everything_else_goes_to_one_server_after_the_other() {
    let Some((_tinies, nginx)) = fleet("everything_else_goes_to_one_server_after_the_other") else {
        return;
    };
    let all = NAMES.map(str::to_owned).into();
    let random = random();
    let other_ids = [
        format!("unknown.{random}"),
        random.clone(),
        format!("a.{random}x"),
        format!("a.{}", &random[1..]),
        format!("A.{random}"),
        format!("a.a.{random}"),
        format!("{}.{random}", "a".repeat(33)),
        "a".to_owned(),
        "default".to_owned(),
    ];
    for request in [create(), Request::new("GET", "/any/thing?else=1")] {
        assert_eq!(answering(&nginx, &request), all);
    }
    for id in other_ids {
        let request = Request::new("PUT", "/upload/chunked").header("X-Upload-Session-ID", &id);
        assert_eq!(answering(&nginx, &request.body("bytes")), all, "{id}");
    }
}

#[test]
fn a_create_passes_by_a_dead_server_and_a_session_finds_a_restarted_one() {
    let Some((mut tinies, nginx)) = fleet("a_create_passes_by_a_dead_server") else {
        return;
    };
    tinies[0].stop();
    let living = NAMES[1..].iter().map(|&name| name.to_owned()).collect();
    assert_eq!(answering(&nginx, &create()), living);
    // A body that no server has seen may go to the next one.
    assert_eq!(answering(&nginx, &create().body(vec![7; 100_000])), living);
    for _ in 0..5 {
        chunk("a").send(nginx.addr()).status_is(502);
    }
    tinies[0].listen();
    assert_eq!(send(&nginx, &chunk("a")), "a");
    assert_eq!(send(&nginx, &status("a")), "a");
}

#[test]
fn what_a_server_has_seen_is_not_sent_to_another() {
    let large = vec![7; 1 << 20];
    let requests = [
        ("empty", create()),
        ("small", create().body("small")),
        ("large", create().body(large.clone())),
        ("large PUT", create().method("PUT").body(large.clone())),
        ("chunked", create().chunked(&large, 4096)),
        ("PATCH", Request::new("PATCH", "/files/1").body("small")),
        ("chunk", chunk("a")),
    ];
    for (what, request) in requests {
        // A new one each time: a server that fails is left out for a while.
        let Some((tinies, nginx)) = fleet("what_a_server_has_seen_is_not_sent_to_another") else {
            return;
        };
        for tiny in &tinies {
            tiny.shared.mute.store(true, Ordering::SeqCst);
        }
        assert_eq!(request.send(nginx.addr()).status, 502, "{what}");
        assert_eq!(tinies.iter().map(Tiny::seen).sum::<usize>(), 1, "{what}");
    }
}

/// It changes nothing, and every server knows it.
#[test]
fn only_the_status_is_asked_of_another() {
    let Some((tinies, nginx)) = fleet("only_the_status_is_asked_of_another") else {
        return;
    };
    tinies[0].shared.mute.store(true, Ordering::SeqCst);
    assert_ne!(send(&nginx, &status("a")), "a");
    assert!(tinies[0].seen() > 0, "it was asked first");
}

#[test]
fn requests_arrive_as_the_client_wrote_them() {
    let Some((tinies, nginx)) = fleet("requests_arrive_as_the_client_wrote_them") else {
        return;
    };
    let request = chunk("a")
        .replace("X-Signature", "s")
        .target("/upload/%63hunked?a=%2f//b");
    let answer = request.send(nginx.addr()).status_is(200);
    let head = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        head.starts_with("PUT /upload/%63hunked?a=%2f//b HTTP/1.1\r\n"),
        "{head}"
    );
    for line in [
        "Host: localhost",
        "X-Signature: s",
        "X-Forwarded-For: 127.0.0.1",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    // The body goes on as it comes, whatever its length is.
    let session = format!("a.{}", random());
    let head = Request::new("PUT", "/upload/chunked")
        .header("X-Upload-Session-ID", session)
        .header("Content-Length", (3_u64 << 30).to_string())
        .head();
    let mut connection = Connection::open(nginx.addr());
    connection.write(&head).unwrap();
    connection.write(b"first bytes").unwrap();
    until("they arrive", SOON, || {
        *tinies[0].shared.early.lock().unwrap() == b"first bytes"
    });
}

#[test]
fn without_names_every_request_goes_round() {
    if !machine::has_program("without_names_every_request_goes_round", "nginx") {
        return;
    }
    let tinies: Vec<_> = NAMES.iter().map(|name| Tiny::start(name)).collect();
    let servers: Vec<_> = tinies.iter().map(|tiny| tiny.addr).collect();
    let nginx = Nginx::round_robin(&servers);
    let all: BTreeSet<_> = NAMES.map(str::to_owned).into();
    for request in [create(), chunk("a"), status("0")] {
        assert_eq!(answering(&nginx, &request), all);
    }
    until("it has written what it did", SOON, || {
        nginx.logs().contains("GET /upload/status?")
    });
}
