//! The server's memory does not grow with what it is sent: 64 MiB above idle, whatever comes.
//!
//! `STEADFAST_MEMORY_EACH_MIB` sets the size of each of many uploads, 128 MiB otherwise, and
//! `STEADFAST_MEMORY_ONE_MIB` that of the one large upload, 4096 MiB otherwise.

use std::path::Path;
use std::time::Instant;

use steadfast_tests::http::{Connection, Response, together};
use steadfast_tests::server::Server;
use steadfast_tests::upload::{Client, Session};

use crate::bulk::{self, BLOCK, Bulk};
use crate::machine;

const UPLOADS: usize = 64;

/// What the server may need beyond its idle memory.
const GROWTH_MAX: u64 = 64 << 20;

/// A file that is made while it is sent, over one connection.
struct Sender {
    client: Client,
    connection: Connection,
    bulk: Bulk,
    session: Session,
    size: usize,
}

impl Sender {
    fn new(client: Client, name: &str, size: u64, chunk_size: usize) -> Self {
        let seed = size + name.bytes().map(u64::from).sum::<u64>();
        let size = usize::try_from(size).expect("fits");
        let request = client
            .create_request(name, size)
            .header("X-Chunk-Size", chunk_size.to_string());
        let session = client.open(&request);
        Self {
            client,
            connection: Connection::open(client.addr()),
            bulk: Bulk::new(seed),
            session,
            size,
        }
    }

    /// Sends a chunk as it is made, and answers what the server says.
    fn send(&mut self, chunk: usize) -> Response {
        let start = chunk * self.session.chunk_size;
        let len = self.session.chunk_size.min(self.size - start);
        let request = self
            .client
            .chunk_head(&self.session, chunk)
            .header("Content-Length", len.to_string());
        self.connection
            .write(&request.head())
            .expect("the head is taken");
        let mut sent = 0;
        while sent < len {
            let (block, from) = ((start + sent) / BLOCK, (start + sent) % BLOCK);
            let bytes = &self.bulk.block(block as u64)[from..];
            let bytes = &bytes[..bytes.len().min(len - sent)];
            self.connection.write(bytes).expect("the body is taken");
            sent += bytes.len();
        }
        self.connection.response("PUT").expect("an answer")
    }

    /// Sends all chunks but the last.
    fn send_most(&mut self) {
        for chunk in 0..self.session.total_chunks - 1 {
            let _ = self.send(chunk).status_is(200);
        }
    }

    /// Sends the last chunk and waits for the handler.
    fn finish(&mut self) {
        let last = self.send(self.session.total_chunks - 1);
        assert!(
            [200, 202].contains(&last.status),
            "{}",
            String::from_utf8_lossy(&last.body)
        );
        let _ = bulk::delivered(self.client, &self.session);
    }

    /// What arrived is what was sent.
    fn check(&mut self, stored: &Path) {
        let expected = self.bulk.sha256(self.size as u64);
        assert_eq!(
            bulk::sha256_of(stored).expect("the file is there"),
            expected,
            "{}",
            stored.display()
        );
    }
}

/// Forgets the highest memory use of the server so far.
fn forget_peak(server: &Server) {
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5")
        .expect("the server's peak is reset");
}

/// Fails unless the peak since [`forget_peak`] is near `idle`.
fn check_peak(server: &Server, idle: u64, what: &str, begun: Instant) {
    let (peak, seconds) = (server.memory("VmHWM"), begun.elapsed().as_secs_f64());
    let growth = peak.saturating_sub(idle);
    let (idle, peak) = (machine::in_mib(idle), machine::in_mib(peak));
    machine::report(&format!(
        "{what}: peak {peak:.1} MiB, idle {idle:.1} MiB, {seconds:.1} s"
    ));
    assert!(
        growth <= GROWTH_MAX,
        "{what}: from {idle:.1} to {peak:.1} MiB"
    );
}

#[test]
fn memory_does_not_grow_with_uploads() {
    let test = "memory_does_not_grow_with_uploads";
    let _turn = machine::alone();
    let each = machine::mib("STEADFAST_MEMORY_EACH_MIB", 128);
    let one = machine::mib("STEADFAST_MEMORY_ONE_MIB", 4096);
    if !machine::has_room(test, 20 << 30) {
        return;
    }
    let server = Server::start("[uploads]\nchunk_size = \"5MB\"\nmin_free_space = \"1GB\"");
    let uploads = server.uploads_dir();
    let idle = server.memory("VmRSS");

    forget_peak(&server);
    let begun = Instant::now();
    let _ = together(UPLOADS, |index| {
        let name = format!("many-{index}.bin");
        let mut sender = Sender::new(server.client(), &name, each, 5 << 20);
        sender.send_most();
        sender.finish();
        let stored = uploads.join(name);
        if index % 16 == 0 {
            sender.check(&stored);
        }
        let len = std::fs::metadata(&stored)
            .expect("it was handed over")
            .len();
        assert_eq!(len, each);
        std::fs::remove_file(stored).expect("room for the next");
    });
    check_peak(&server, idle, "64 uploads at once", begun);

    forget_peak(&server);
    let begun = Instant::now();
    let mut sender = Sender::new(server.client(), "one.bin", one, 64 << 20);
    sender.send_most();
    sender.finish();
    check_peak(&server, idle, "one large upload", begun);
    sender.check(&uploads.join("one.bin"));
}
