//! One upload over many connections at once, in any order, with everything sent twice.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use steadfast_tests::data;
use steadfast_tests::http::{Connection, Response};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{Client, Session};

use crate::{bulk, machine};

const CONNECTIONS: usize = 8;
const CHUNKS: usize = 400;
const CHUNK: usize = 64 * 1024;

/// Sendings of a chunk that a newer one may take over before something must be wrong.
const TRIES_MAX: usize = 50;

/// Pause between two questions for the status.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// What is still to be sent: chunk and number of the try.
struct Queue(Mutex<VecDeque<(usize, usize)>>);

impl Queue {
    /// Every chunk twice, shuffled by `seed`. Half of the repetitions follow at once, so that two
    /// connections send the same chunk at the same time; the others come at any moment.
    fn twice(seed: u64) -> Self {
        let random = data::random(seed, CHUNKS * 32);
        let mut random = random
            .chunks_exact(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        let mut below =
            |limit: usize| usize::try_from(random.next().unwrap() % limit as u64).unwrap();
        let mut order: Vec<usize> = (0..CHUNKS).chain(CHUNKS / 2..CHUNKS).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, below(at + 1));
        }
        let twins = |chunk| std::iter::repeat_n((chunk, 1), if chunk < CHUNKS / 2 { 2 } else { 1 });
        Self(Mutex::new(order.into_iter().flat_map(twins).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(usize, usize)>> {
        self.0.lock().unwrap()
    }
}

/// What the answers to chunks amounted to.
#[derive(Default)]
struct Tally {
    kept: AtomicUsize,
    duplicate: AtomicUsize,
    superseded: AtomicUsize,
    completed: AtomicUsize,
}

/// Counts an answer; true if the chunk has to be sent again.
fn judge(answer: Response, total: usize, tally: &Tally) -> bool {
    if answer.status == 409 {
        let _ = answer.refused(409, "superseded");
        tally.superseded.fetch_add(1, Ordering::Relaxed);
        return true;
    }
    assert!(
        [200, 202].contains(&answer.status),
        "{}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    let answer = answer.json();
    assert!(
        answer["uploaded_bytes"].as_u64().expect("a count") <= total as u64,
        "{answer}"
    );
    let count = if answer["duplicate"] == true {
        &tally.duplicate
    } else {
        &tally.kept
    };
    count.fetch_add(1, Ordering::Relaxed);
    if answer["completed"] == true {
        tally.completed.fetch_add(1, Ordering::Relaxed);
    }
    false
}

/// Sends from the queue over one connection until it is empty.
fn send(client: Client, session: &Session, file: &[u8], queue: &Queue, tally: &Tally) {
    let mut connection = Connection::open(client.addr());
    loop {
        let Some((chunk, tries)) = queue.lock().pop_front() else {
            return;
        };
        let request = client.chunk_request(session, chunk, session.chunk(file, chunk));
        let answer = connection
            .exchange(&request)
            .expect("the connection stays open");
        if judge(answer, file.len(), tally) {
            assert!(tries < TRIES_MAX, "chunk {chunk} is superseded for ever");
            queue.lock().push_back((chunk, tries + 1));
        }
    }
}

/// Asks for the status until told to stop, and checks that it never goes back.
fn watch(client: Client, session: &Session, total: usize, stop: &mpsc::Receiver<()>) -> usize {
    let (mut polls, mut last) = (0, 0);
    let mut due = Instant::now();
    loop {
        let status = client.status(session);
        let uploaded = status["uploaded_bytes"].as_u64().expect("a count");
        assert!(uploaded >= last, "from {last} down to {uploaded}");
        assert!(uploaded <= total as u64, "{status}");
        let held = status["chunks"].as_u64().expect("a count");
        assert!(
            held <= CHUNKS as u64 && uploaded.div_ceil(CHUNK as u64) >= held,
            "{status}"
        );
        (polls, last, due) = (polls + 1, uploaded, due + POLL_EVERY);
        let pause = due.saturating_duration_since(Instant::now());
        if stop.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
            return polls;
        }
    }
}

fn open(server: &Server, size: usize) -> Session {
    let request = server
        .client()
        .create_request("many.bin", size)
        .header("X-Chunk-Size", CHUNK.to_string());
    let session = server.client().open(&request);
    assert_eq!((session.chunk_size, session.total_chunks), (CHUNK, CHUNKS));
    session
}

fn check_status(server: &Server, session: &Session, file: &[u8]) {
    let status = bulk::delivered(server.client(), session);
    assert_eq!(status["uploaded_bytes"], file.len());
    assert_eq!(status["missing"], serde_json::json!([]));
    assert_eq!(status["sha256"], data::sha256_hex(file));
}

#[test]
fn eight_connections_send_everything_twice() {
    let server = Server::start("[uploads]\nchunk_size = \"5MB\"");
    // The last chunk is shorter than the others.
    let file = data::random(7, CHUNKS * CHUNK - 1234);
    let session = open(&server, file.len());
    let (client, queue, tally) = (server.client(), Queue::twice(8), Tally::default());
    let (stop, stopped) = mpsc::channel();
    let polls = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let stopped = stopped;
            watch(client, &session, file.len(), &stopped)
        });
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| send(client, &session, &file, &queue, &tally)))
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().expect("no thread panics"));
        drop(stop);
        watcher.join().expect("no thread panics")
    });
    check_status(&server, &session, &file);
    let stored = tree::files(&server.uploads_dir());
    assert_eq!(stored.len(), 1, "handed over once");
    assert!(stored[0].1 == file, "the bytes are those that were sent");

    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(count(&tally.kept) + count(&tally.duplicate), 2 * CHUNKS);
    assert_eq!(count(&tally.kept), CHUNKS, "each chunk is new once");
    assert!(count(&tally.completed) >= 1 && polls >= 2);
    machine::report(&format!(
        "eight_connections_send_everything_twice: {polls} polls, {} superseded",
        count(&tally.superseded)
    ));
}
