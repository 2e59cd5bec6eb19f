//! Slow clients cost little, and those that are too slow are gone in time.

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use steadfast_tests::config::CHUNK;
use steadfast_tests::crowd::{Crowd, half_heads, raise_file_limit};
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request};
use steadfast_tests::server::Server;
use steadfast_tests::upload::sign;
use steadfast_tests::wait;

use crate::machine;

/// What a slow client may take of the server's memory, and what all of them together may.
const EACH_MAX: u64 = 150 << 10;
const HEAD_MAX: u64 = 40 << 10;
const ALL_MAX: u64 = 8 << 20;

/// Fails unless the server's memory has grown from `idle` by what `count` clients may take.
fn check_memory(server: &Server, idle: u64, count: usize, each: u64) {
    let growth = server.memory("VmHWM").saturating_sub(idle);
    let allowed = ALL_MAX + count as u64 * each;
    let (grown, allowed_mib) = (machine::in_mib(growth), machine::in_mib(allowed));
    machine::report(&format!(
        "{count} slow clients: {grown:.1} MiB of {allowed_mib:.1}"
    ));
    assert!(growth <= allowed, "{grown:.1} MiB");
}

#[test]
fn slow_clients_are_served_beside_a_fast_one() {
    const CLIENTS: usize = 300;
    let _turn = machine::alone();
    raise_file_limit().expect("it may be raised");
    let server = Server::start("");
    let client = server.client();
    let idle = server.memory("VmRSS");
    let mut crowd = Crowd::open(client, CLIENTS, CHUNK).expect("they are let in");
    let file = data::random(2, 40 * CHUNK);
    loop {
        let round = Instant::now();
        let left = crowd.send(CHUNK / 8).expect("they are read");
        let last = client.upload("fast.bin", &file).1.status_is(200);
        assert_eq!(last.json()["completed"], true);
        if !left {
            break;
        }
        wait::until("the next round", wait::SOON, || {
            round.elapsed() > Duration::from_millis(100)
        });
    }
    for (session, answer) in crowd.answers().expect("each has an answer") {
        let done = &answer.status_is(200).json()["completed"];
        assert_eq!(*done, true, "{}", session.answer);
    }
    check_memory(&server, idle, CLIENTS, EACH_MAX);
}

#[test]
fn clients_that_stop_are_given_up() {
    const CLIENTS: usize = 100;
    let server = Server::start("[uploads]\nstall_timeout = \"1s\"");
    let begun = Instant::now();
    let mut crowd = Crowd::open(server.client(), CLIENTS, CHUNK).expect("they are let in");
    let _ = crowd.send(CHUNK / 2).expect("they are read");
    for (session, answer) in crowd.answers().expect("each has an answer") {
        let _ = answer.refused(408, "too_slow");
        let status = server.client().status(&session);
        assert_eq!(status["uploaded_bytes"], 0, "{status}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn heads_that_never_end_are_given_up() {
    const CLIENTS: usize = 800;
    let _turn = machine::alone();
    raise_file_limit().expect("it may be raised");
    let server = Server::start("[timeouts]\nheader_timeout = \"1s\"");
    let (idle, files) = (server.memory("VmRSS"), server.open_files());
    let begun = Instant::now();
    let clients = half_heads(server.client(), CLIENTS).expect("they are let in");
    for mut client in clients {
        assert_eq!(client.response("PUT").expect("an answer").status, 408);
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    check_memory(&server, idle, CLIENTS, HEAD_MAX);
    wait::until("they are gone", wait::SOON, || {
        server.open_files() <= files + 5
    });
}

/// The app's own routes have the timeout of the whole request, and chunks do not.
#[test]
fn the_read_timeout_is_for_the_app() {
    let server = Server::start("[timeouts]\nreadtimeout = \"1s\"");
    let (client, file) = (server.client(), data::random(3, CHUNK));
    let session = client.create("slow.bin", file.len());
    let mut chunk = Connection::open(server.addr());
    chunk.start(&client.chunk_request(&session, 0, &file));
    chunk.write(&file[..10]).expect("it is read");

    let upload = Request::new("POST", "/upload")
        .header("X-Signature", sign("/upload"))
        .header("Content-Type", "multipart/form-data; boundary=x");
    let mut plain = Connection::open(server.addr());
    let head = upload.header("Content-Length", "1000").head();
    plain.write(&head).expect("the head is taken");
    plain.write(b"--x\r\n").expect("it is read");
    let answer = plain.response("POST").expect("an answer");
    assert_eq!(answer.status, 408);
    assert!(plain.closed(wait::SOON));

    chunk.write(&file[10..]).expect("it is read");
    let answer = chunk.response("PUT").expect("an answer").status_is(200);
    assert_eq!(answer.json()["completed"], true);
}

#[test]
fn more_connections_than_open_files_are_warned_of() {
    const MOST: u64 = 1_000_000;
    let limit = getrlimit(Resource::Nofile).maximum;
    if limit.is_none_or(|limit| limit >= MOST) {
        machine::report("skipped: there is no limit of open files to come up against");
        return;
    }
    let server = Server::start(&format!("[server]\nmax_connections = {MOST}"));
    wait::until("it says so", wait::SOON, || {
        server.logs().contains("ulimit -n")
    });
}
