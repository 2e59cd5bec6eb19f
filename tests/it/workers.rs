//! Chunks wait for a worker; what comes while too many wait is told to come later, unread.

use std::process::Command;
use std::time::Duration;

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request, Response, timed};
use steadfast_tests::process::Process;
use steadfast_tests::server::Server;
use steadfast_tests::torture::strace;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

use crate::machine;

/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(2);
/// Uploads with a chunk that waits, until there is no room.
const FEW: usize = 40;

/// A disk whose flushes do not end before this does.
struct Stuck(Process);

impl Stuck {
    fn of(server: &Server) -> Self {
        let calls = "fdatasync,fsync,syncfs";
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={calls}"),
        ]);
        command.args(["-e", &format!("inject={calls}:delay_enter=60000000")]);
        command.args(["-p", &server.pid().to_string()]);
        let this = Self(Process::spawn(&mut command));
        wait::until("strace holds the server", SOON, || is_traced(server.pid()));
        this
    }

    /// What was held back goes on.
    fn end(mut self) {
        let _ = self.0.terminate(SOON);
    }
}

/// Whether somebody traces every thread of a process.
fn is_traced(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let is_traced = |thread: std::fs::DirEntry| {
        // A thread may end meanwhile.
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().all(|line| line != "TracerPid:\t0")
    };
    threads.flatten().all(is_traced)
}

/// The first chunk of an upload, and its request.
fn first_chunk<'a>(server: &Server, session: &Session, file: &'a [u8]) -> (Request, &'a [u8]) {
    let bytes = session.chunk(file, 0);
    let request = server.client().chunk_head(session, 0);
    let request = request.header("Content-Length", bytes.len().to_string());
    (request, bytes)
}

/// Sends chunks that are not answered, until one is refused; how long that took.
fn fill(
    server: &Server,
    sessions: &[Session],
    file: &[u8],
) -> (Vec<Connection>, Duration, Response) {
    let mut open = Vec::new();
    for session in sessions {
        let (request, bytes) = first_chunk(server, session, file);
        let mut connection = Connection::open(server.addr());
        let (took, refused) = timed(|| connection.offer(&request));
        if let Some(refused) = refused {
            return (open, took, refused);
        }
        connection.write(bytes).unwrap();
        open.push(connection);
    }
    panic!("{} chunks wait for a disk that takes none", open.len());
}

fn is_busy(refused: Response) {
    let seconds = refused.text("retry-after").unwrap();
    assert!((1..=3).contains(&seconds.parse::<u32>().unwrap()));
    let _ = refused.refused(503, "busy");
}

#[test]
fn while_the_disk_is_stuck_new_chunks_are_refused_unread_and_the_rest_goes_on() {
    let test = "while_the_disk_is_stuck_new_chunks_are_refused_unread_and_the_rest_goes_on";
    if let Err(why) = strace::usable() {
        return machine::report(&format!("skipped {test}: {why}"));
    }
    let server = Server::start("[workers]\nnumworkers = 1\nmax_workers = 2\nuploadqueuesize = 3");
    let client = server.client();
    let file = data::random(1, 2 * CHUNK);
    let held = client.create("held.bin", file.len());
    let _ = client.put_chunk(&held, &file, 0).status_is(200);
    let sessions: Vec<_> = (0..FEW)
        .map(|number| client.create(&format!("{number}.bin"), file.len()))
        .collect();
    let stuck = Stuck::of(&server);
    let (open, took, refused) = fill(&server, &sessions, &file);
    assert!(took >= PATIENCE && took < 2 * PATIENCE, "{took:?}");
    is_busy(refused);
    // Those that wait, and those that are being flushed.
    assert!((4..=8).contains(&open.len()), "{}", open.len());
    assert!(server.logs().contains("Workers: 1 => 2"));
    // A client that does not ask before it sends reads the same.
    let last = &sessions[FEW - 1];
    let (request, bytes) = first_chunk(&server, last, &file);
    let mut connection = Connection::open(server.addr());
    connection
        .write(&[&request.head(), bytes].concat())
        .unwrap();
    // Others do not wait meanwhile.
    let (took, ()) = timed(|| {
        let _ = client.put_chunk(&held, &file, 0).status_is(200);
        assert_eq!(client.status(&held)["uploaded_bytes"], CHUNK);
        let _ = client.put(&held, 1, b"short").refused(400, "chunk_length");
        let _ = Request::new("GET", "/nothing")
            .send(server.addr())
            .status_is(404);
    });
    assert!(took < PATIENCE / 2, "{took:?}");
    is_busy(connection.response("PUT").unwrap());
    stuck.end();
    for mut connection in open {
        let _ = connection.response("PUT").unwrap().status_is(200);
    }
    for number in 0..2 {
        let _ = client.put_chunk(last, &file, number).status_is(200);
    }
    let _ = client.until_state(last, "completed");
}
