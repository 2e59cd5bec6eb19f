//! A large upload by curl to a server that is killed twice on the way.
//!
//! `STEADFAST_BIG_MIB` sets the size of the file, 3072 MiB otherwise.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, Session, sign};
use steadfast_tests::wait;

use crate::bulk::{self, Bulk};
use crate::machine;

const CHUNK: u64 = 5 << 20;

/// Chunks on their way at once: when the server dies, each is somewhere else.
const CURLS: usize = 3;

/// Far above what sending a third of the file takes.
const SENT: Duration = Duration::from_secs(120);

/// curl, about to talk to the server.
fn curl(addr: SocketAddr, target: &str, headers: &[String]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "120", "--write-out", "\n%{http_code}"]);
    for header in headers {
        command.args(["--header", header]);
    }
    command.arg(format!("http://{addr}{target}"));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Status and body that curl was given, or none if it lost the connection.
fn answer(curl: Child) -> Option<(u16, Value)> {
    let output = curl.wait_with_output().expect("curl ends");
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("a line with the status");
    Some((
        status.parse().expect("a status"),
        serde_json::from_str(body).expect("JSON"),
    ))
}

fn ask(addr: SocketAddr, target: &str, method: &str, headers: &[String]) -> Value {
    let child = curl(addr, target, headers)
        .args(["--request", method])
        .spawn()
        .expect("curl starts");
    let (status, body) = answer(child).expect("the server lives");
    assert!(
        (200..300).contains(&status),
        "{method} {target}: {status} {body}"
    );
    body
}

/// One upload, seen from its client.
struct Upload<'a> {
    addr: SocketAddr,
    session: Session,
    source: &'a File,
    size: u64,
    /// Chunks that the server has acknowledged.
    safe: Mutex<BTreeSet<u64>>,
}

impl Upload<'_> {
    fn headers(&self, chunk: u64) -> Vec<String> {
        vec![
            format!("X-Upload-Session-ID: {}", self.session.id),
            format!("X-Chunk-Number: {chunk}"),
        ]
    }

    fn bytes(&self, chunk: u64) -> Vec<u8> {
        let start = chunk * CHUNK;
        let len = usize::try_from(CHUNK.min(self.size - start)).expect("a chunk fits");
        let mut bytes = vec![0; len];
        self.source
            .read_exact_at(&mut bytes, start)
            .expect("the file is read");
        bytes
    }

    /// Sends a chunk; false if the connection was lost.
    fn send(&self, chunk: u64) -> bool {
        let mut command = curl(self.addr, CHUNKED, &self.headers(chunk));
        let mut child = command
            .args(["--request", "PUT", "--data-binary", "@-"])
            .spawn()
            .expect("curl starts");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(&self.bytes(chunk))
            .expect("curl reads its input");
        let Some((status, body)) = answer(child) else {
            return false;
        };
        assert!(
            [200, 202].contains(&status),
            "chunk {chunk}: {status} {body}"
        );
        assert_eq!(body["chunk"], chunk);
        assert_eq!(body["duplicate"], false, "no byte is sent again: {body}");
        assert!(self.safe.lock().unwrap().insert(chunk), "sent once");
        true
    }

    /// Sends chunks until all are safe or the server is gone; true for the former.
    fn send_all(&self, chunks: BTreeSet<u64>) -> bool {
        let queue = Mutex::new(chunks);
        let work = || {
            loop {
                let next = queue.lock().unwrap().pop_first();
                match next {
                    Some(chunk) if self.send(chunk) => {}
                    Some(_) => return false,
                    None => return true,
                }
            }
        };
        std::thread::scope(|scope| {
            let curls: Vec<_> = (0..CURLS).map(|_| scope.spawn(work)).collect();
            let ended: Vec<_> = curls
                .into_iter()
                .map(|curl| curl.join().expect("no thread panics"))
                .collect();
            ended.into_iter().all(|all| all)
        })
    }

    /// What the server says is missing; everything it has acknowledged must be there.
    fn missing(&self) -> BTreeSet<u64> {
        let target = format!("/upload/status?session_id={}", self.session.id);
        let status = ask(self.addr, &target, "GET", &[]);
        assert_eq!(status["state"], "receiving", "{status}");
        let ranges: Vec<(u64, u64)> =
            serde_json::from_value(status["missing"].clone()).expect("ranges");
        let missing: BTreeSet<_> = ranges
            .into_iter()
            .flat_map(|(first, last)| first..=last)
            .collect();
        let safe = self.safe.lock().unwrap();
        let lost: Vec<_> = safe.intersection(&missing).collect();
        assert!(lost.is_empty(), "acknowledged and forgotten: {lost:?}");
        let all = self.session.total_chunks as u64;
        let unasked = (0..all)
            .filter(|chunk| !safe.contains(chunk) && !missing.contains(chunk))
            .count();
        assert!(
            unasked <= CURLS + 1,
            "only what was in flight can be there unacknowledged"
        );
        missing
    }

    /// Starts to send a chunk and stops in its middle, when the server has some of it on disk.
    fn send_half(&self, chunk: u64, state_dir: &Path) -> Child {
        let mut command = curl(self.addr, CHUNKED, &self.headers(chunk));
        let mut child = command
            .args(["--upload-file", "-"])
            .spawn()
            .expect("curl starts");
        let bytes = self.bytes(chunk);
        let pipe = child.stdin.as_mut().expect("a pipe");
        pipe.write_all(&bytes[..bytes.len() / 2])
            .expect("curl reads its input");
        wait::until("half a chunk reaches the disk", wait::SOON, || {
            let data = tree::largest(state_dir, ".data").expect("a data file");
            std::fs::metadata(data).expect("its length").len() > chunk * CHUNK
        });
        child
    }
}

/// Sends `chunks` and kills the server as soon as `enough` of all chunks are safe.
fn send_until_killed(
    server: &mut Server,
    upload: &Upload<'_>,
    chunks: BTreeSet<u64>,
    enough: usize,
) {
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| upload.send_all(chunks));
        wait::until("some chunks are safe", SENT, || {
            sending.is_finished() || upload.safe.lock().unwrap().len() >= enough
        });
        server.kill9();
        assert!(
            !sending.join().expect("no thread panics"),
            "killed before the end"
        );
    });
}

fn create(server: &Server, size: u64) -> Session {
    let headers = [
        "X-Filename: big.bin".to_owned(),
        format!("X-Total-Size: {size}"),
        format!("X-Signature: {}", sign(CHUNKED)),
    ];
    Session::from_answer(ask(server.addr(), CHUNKED, "POST", &headers))
}

#[test]
fn a_large_upload_survives_two_kills() -> io::Result<()> {
    let test = "a_large_upload_survives_two_kills";
    let _turn = machine::alone();
    let size = machine::mib("STEADFAST_BIG_MIB", 3072);
    if !machine::has_program(test, "curl") || !machine::has_room(test, 3 * size + (2 << 30)) {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("big.bin");
    let sha256 = Bulk::new(3).write_file(&path, size)?;
    let source = File::open(&path)?;
    let begun = Instant::now();

    let mut server = Server::start("[uploads]\nchunk_size = \"5MB\"");
    let session = create(&server, size);
    let total = session.total_chunks;
    assert_eq!(
        (session.chunk_size as u64, total as u64),
        (CHUNK, size.div_ceil(CHUNK))
    );
    let upload = Upload {
        addr: server.addr(),
        session,
        source: &source,
        size,
        safe: Mutex::default(),
    };

    // Wherever it happens to be.
    let missing = (0..total as u64).collect();
    send_until_killed(&mut server, &upload, missing, total * 2 / 7);
    server.restart();

    // With one chunk that is known to be half there: the last, beyond all that is on disk.
    let mut missing = upload.missing();
    let half = missing.pop_last().expect("not all is sent");
    let stalled = upload.send_half(half, &server.state_dir());
    send_until_killed(&mut server, &upload, missing, total * 5 / 7);
    assert!(
        answer(stalled).is_none(),
        "the half chunk is not acknowledged"
    );
    server.restart();

    let missing = upload.missing();
    assert!(missing.contains(&half), "half a chunk is no chunk");
    assert!(upload.send_all(missing));
    let status = bulk::delivered(server.client(), &upload.session);
    let took = begun.elapsed().as_secs_f64();

    assert_eq!(status["sha256"], sha256);
    let stored = tree::list(&server.uploads_dir());
    assert_eq!(stored.len(), 1, "handed over once: {stored:?}");
    assert_eq!(stored[0].path, Path::new("big.bin"));
    assert_eq!(
        bulk::sha256_of(&server.uploads_dir().join("big.bin"))?,
        sha256
    );
    machine::report(&format!(
        "{test}: {:.0} MiB in {took:.1} s",
        machine::in_mib(size)
    ));
    Ok(())
}
