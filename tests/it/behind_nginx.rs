//! Servers that share their sessions behind nginx, as it is shipped: clients that know nothing of
//! this complete every upload while servers are killed.
//!
//! The clients are the JavaScript of the document that the dialect comes from, as it stands there,
//! and a loop around curl. A create that fails is begun anew by the page, as its user would: the
//! script itself tries chunks again and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::together;
use steadfast_tests::nginx::Nginx;
use steadfast_tests::process::Process;
use steadfast_tests::server::Server;
use steadfast_tests::torture::rng::Rng;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, Client, Session, sign};
use steadfast_tests::wait;
use tempfile::TempDir;

use crate::document::blocks;
use crate::fleet::{self, Fleet, NAMES};
use crate::machine;
use crate::several::named_in;

const DOCUMENT: &str = include_str!("../vectors/network-resilience.md");

/// Uploads by the script, and by curl.
const BY_SCRIPT: usize = 60;
const BY_CURL: usize = 40;

/// For how long servers are killed, and how many die at least.
const KILLING: Duration = Duration::from_secs(12);
const KILLS_MIN: usize = 8;

/// How long clients may take: the script waits for 31 s and more before it gives a chunk up.
const LIMIT: Duration = Duration::from_secs(55);

/// What the page around the script provides: one upload after the other begins, over a network that
/// is not the fastest.
const PAGE: &str = r"
const { readFileSync } = require('node:fs');
const { File } = require('node:buffer');
const [, , page, count] = process.argv;
const send = globalThis.fetch;
const pause = time => new Promise(resolve => setTimeout(resolve, time));
globalThis.fetch = async (url, options) => { await pause(200); return send(new URL(url, page), options); };
async function upload(n) {
  await pause(n * 140);
  const name = `js-${n}.bin`;
  for (;;) {
    const file = new File([readFileSync(name)], name);
    const uploader = new NetworkResilientUploader(file, '/upload/chunked', { chunkSize: 65536 });
    const start = uploader.startSession.bind(uploader);
    let session;
    uploader.startSession = async () => { session = await start(); return session; };
    try { await uploader.upload(); break; } catch (error) {
      if (session && session.session_id) throw error;
      await pause(200);
    }
  }
  console.log(`done: ${name}`);
}
for (let n = 0; n < count; n += 1) upload(n).catch(error => console.log(`failed: js-${n}.bin ${error}`));
";

/// One upload by curl: every request until it succeeds.
const CURL: &str = r#"
set -o pipefail
name=$1
persist() { until "$@"; do sleep 0.2; done; }
create() {
    session=$(curl -sf -X POST "$page/upload/chunked" -H "X-Filename: $name" \
        -H "X-Total-Size: $(stat -c %s "$name")" -H "X-Signature: $signature" \
        -H "Idempotency-Key: the only upload of $name" \
        | grep -o '"session_id":"[^"]*"' | cut -d'"' -f4)
}
persist create
echo "session: $session"
split -b 65536 -d -a 1 "$name" "$name.chunk."
for n in 2 0 1 3; do
    sleep 0.1
    persist curl -sf -o /dev/null -X PUT "$page/upload/chunked" --data-binary "@$name.chunk.$n" \
        -H "X-Upload-Session-ID: $session" -H "X-Chunk-Number: $n"
done
echo "done: $name"
"#;

/// A directory with the files that are uploaded, each 4 chunks of one's own.
struct Desk {
    dir: TempDir,
    files: BTreeMap<String, Vec<u8>>,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut files = BTreeMap::new();
        let names = (0..BY_SCRIPT).map(|n| format!("js-{n}.bin"));
        for (seed, name) in names
            .chain((0..BY_CURL).map(|n| format!("curl-{n}.bin")))
            .enumerate()
        {
            let file = data::random(seed as u64, 3 * CHUNK + 1 + 37 * seed);
            std::fs::write(dir.path().join(&name), &file).expect("a file");
            files.insert(name, file);
        }
        Self { dir, files }
    }

    /// Node with the document's script, about to upload all files that are meant for it.
    fn script(&self, nginx: &Nginx) -> Process {
        let text = blocks(DOCUMENT, &["javascript"]).remove(0);
        let (class, _) = text.split_once("  // Usage").expect("a class and its use");
        let class = class.replace("YOUR_HMAC_SIGNATURE", &sign(CHUNKED));
        let page = self.dir.path().join("page.cjs");
        std::fs::write(&page, format!("{class}{PAGE}")).expect("a file");
        let mut node = Command::new("node");
        node.current_dir(self.dir.path()).arg(page);
        node.arg(format!("http://{}/", nginx.addr()));
        Process::spawn(node.arg(BY_SCRIPT.to_string()))
    }

    /// A shell that uploads all files that are meant for curl, four at a time.
    fn shell(&self, nginx: &Nginx) -> Process {
        std::fs::write(self.dir.path().join("upload.sh"), CURL).expect("a file");
        let all = format!(
            "seq -f curl-%g.bin 0 {} | xargs -n 1 -P 4 bash upload.sh",
            BY_CURL - 1
        );
        let mut shell = Command::new("bash");
        shell.current_dir(self.dir.path()).args(["-c", &all]);
        shell.env("page", format!("http://{}", nginx.addr()));
        Process::spawn(shell.env("signature", sign(CHUNKED)))
    }
}

/// What clients have printed: whole lines.
fn printed(clients: &Mutex<[Process; 2]>) -> String {
    let clients = clients.lock().expect("nobody panics with it");
    clients.iter().map(Process::logs).collect()
}

/// The ids of the sessions that clients have begun.
fn sessions(printed: &str) -> BTreeSet<String> {
    let said = |line: &str| {
        let script = line.strip_prefix("Upload session started: ");
        let id = script.or_else(|| line.strip_prefix("session: "))?;
        // A create that was answered with something else has none.
        id.contains('.').then(|| id.to_owned())
    };
    printed.lines().filter_map(said).collect()
}

/// Kills servers and starts them again until it is told to stop; answers what those printed that
/// died, and how many did.
fn kill_and_restart(servers: &mut [Server], seed: u64, done: &AtomicBool) -> (String, usize) {
    let mut rng = Rng::new(seed).fork("kill");
    let (mut logs, mut kills) = (String::new(), 0);
    let start = Instant::now();
    while kills < KILLS_MIN || (start.elapsed() < KILLING && !done.load(Ordering::Relaxed)) {
        std::thread::sleep(rng.millis(100..=700));
        let server = rng.within(0..=servers.len() - 1);
        servers[server].kill9();
        logs += &servers[server].logs();
        std::thread::sleep(rng.millis(0..=700));
        servers[server].restart();
        kills += 1;
    }
    (logs, kills)
}

/// Asks for the status of uploads, through nginx and at each server, until it is told to stop. What
/// is there is never unknown, and only grows.
fn watch(places: &[Client], printed: impl Fn() -> String, done: &AtomicBool) -> usize {
    let mut rng = Rng::new(1).fork("watch");
    let (mut seen, mut answers) = (BTreeMap::new(), 0);
    while !done.load(Ordering::Relaxed) {
        // Leaves the machine to the others.
        std::thread::sleep(Duration::from_millis(5));
        let known: Vec<_> = sessions(&printed()).into_iter().collect();
        if known.is_empty() {
            continue;
        }
        let (id, place) = (rng.pick(&known).clone(), *rng.pick(places));
        let Ok(answer) = place.status_request(&id).try_send(place.addr()) else {
            continue;
        };
        match answer.status {
            200 => {
                answers += 1;
                let bytes = answer.json()["uploaded_bytes"].as_u64().expect("a number");
                let before: &mut u64 = seen.entry((id, place.addr())).or_default();
                assert!(*before <= bytes, "{before} bytes, then {bytes}");
                *before = bytes;
            }
            502..=504 => {}
            status => panic!("{id} at {}: {status}", place.addr()),
        }
    }
    answers
}

/// The upload's name in the log.
fn key(id: &str) -> String {
    let sum = hex::decode(data::sha256_hex(id.as_bytes())).expect("hex");
    URL_SAFE_NO_PAD.encode(&sum[..16])
}

/// Every file is at one server, once; again only where a server died in the call of its handler, and
/// says so.
fn check_files(fleet: &Fleet, desk: &Desk, sessions: &BTreeSet<String>, logs: &str) {
    let mut interrupted = BTreeMap::new();
    for id in sessions {
        let name = fleet
            .client(0)
            .status_request(id)
            .send(fleet.servers[0].addr());
        let name = name.status_is(200).json()["filename"]
            .as_str()
            .expect("a name")
            .to_owned();
        let key = key(id);
        let said = |line: &&str| line.contains("nobody can tell") && line.contains(&key);
        *interrupted.entry(name).or_insert(0) += logs.lines().filter(said).count();
    }
    let mut stored: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (n, server) in fleet.servers.iter().enumerate() {
        for (path, bytes) in tree::files(&server.uploads_dir()) {
            // What a handler that was killed had not finished is hidden.
            if !path.to_string_lossy().starts_with('.') {
                stored.entry(bytes).or_default().push(n);
            }
        }
    }
    assert_eq!(stored.len(), desk.files.len(), "nothing else is stored");
    for (name, file) in &desk.files {
        let at = &stored[file];
        assert!(at.iter().all(|server| *server == at[0]), "{name}: {at:?}");
        let again = interrupted[name];
        assert!(
            at.len() <= 1 + again,
            "{name}: {at:?}, {again} were interrupted"
        );
    }
}

/// Everybody says the same of every upload: that it is completed.
fn check_status(places: &[Client], desk: &Desk, sessions: &BTreeSet<String>) {
    assert_eq!(sessions.len(), desk.files.len());
    for id in sessions {
        let session = Session {
            id: id.clone(),
            chunk_size: CHUNK,
            total_chunks: 4,
            answer: serde_json::Value::Null,
        };
        let status = fleet::agreed(places, &session);
        assert_eq!(status["state"], "completed", "{status}");
        let name = status["filename"].as_str().expect("a name");
        assert_eq!(status["sha256"], data::sha256_hex(&desk.files[name]));
    }
}

#[test]
fn every_upload_completes_while_servers_are_killed() {
    let test = "every_upload_completes_while_servers_are_killed";
    let programs = ["nginx", "node", "curl"];
    if !programs.iter().all(|name| machine::has_program(test, name)) {
        return;
    }
    let _alone = machine::alone();
    let Some(mut fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    let mut places = fleet.clients();
    let addresses = places.iter().map(Client::addr);
    let named: Vec<_> = NAMES.into_iter().zip(addresses).collect();
    let nginx = Nginx::start(&named);
    places.push(Client::new(nginx.addr()));
    let desk = Desk::new();
    let clients = Mutex::new([desk.script(&nginx), desk.shell(&nginx)]);
    let (done, seed) = (AtomicBool::new(false), u64::from(std::process::id()));
    let (mut logs, kills, answers) = std::thread::scope(|scope| {
        let servers = &mut fleet.servers;
        let killer = scope.spawn(|| kill_and_restart(servers, seed, &done));
        let watcher = scope.spawn(|| watch(&places, || printed(&clients), &done));
        let ended = has_ended(&clients, LIMIT);
        done.store(true, Ordering::Relaxed);
        assert!(ended, "seed {seed}: {}", printed(&clients));
        let (logs, kills) = killer.join().expect("servers come back");
        (logs, kills, watcher.join().expect("status is right"))
    });
    assert!(
        kills >= KILLS_MIN && answers > 0,
        "{kills} kills, {answers} answers"
    );
    for server in &fleet.servers {
        logs += &server.logs();
    }
    let printed = printed(&clients);
    for name in desk.files.keys() {
        let line = format!("done: {name}\n");
        assert!(printed.contains(&line), "seed {seed}: {name}: {printed}");
    }
    let sessions = sessions(&printed);
    check_status(&places, &desk, &sessions);
    check_files(&fleet, &desk, &sessions, &logs);
    machine::report(&format!(
        "{test}: {kills} kills, {answers} answers on status"
    ));
}

/// Waits until all clients have ended; whether they did.
fn has_ended(clients: &Mutex<[Process; 2]>, limit: Duration) -> bool {
    let start = Instant::now();
    let ended = || {
        let mut clients = clients.lock().expect("nobody panics with it");
        clients.iter_mut().all(|client| client.exited().is_some())
    };
    wait::eventually("the clients end", limit * 2, || match ended() {
        true => Some(true),
        false => (start.elapsed() > limit).then_some(false),
    })
}

#[test]
fn a_client_that_follows_needs_no_names_in_nginx() {
    let test = "a_client_that_follows_needs_no_names_in_nginx";
    if !machine::has_program(test, "nginx") {
        return;
    }
    let Some(fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    let addresses: Vec<_> = fleet.servers.iter().map(Server::addr).collect();
    let running = Nginx::round_robin(&addresses);
    let nginx = Client::new(running.addr());
    let sent_on = together(12, |n| {
        let file = data::random(n as u64, 4 * CHUNK);
        let session = nginx.create(&format!("round-{n}.bin"), file.len());
        let mut sent_on = 0;
        for index in 0..4 {
            let mut answer = nginx.put_chunk(&session, &file, index);
            if answer.status == 421 {
                sent_on += 1;
                answer = named_in(&answer).put_chunk(&session, &file, index);
            }
            let _ = answer.status_is(200);
            let held = (index + 1) * CHUNK;
            assert_eq!(nginx.status(&session)["uploaded_bytes"], held);
        }
        assert_eq!(fleet.status(&session)["state"], "completed");
        let holding = |server: &Server| tree::holding(&server.uploads_dir(), &file).len();
        assert_eq!(fleet.servers.iter().map(holding).sum::<usize>(), 1);
        let given_up = nginx.create("given-up.bin", 10);
        let _ = nginx.cancel(&given_up).status_is(204);
        assert_eq!(fleet.status(&given_up)["state"], "cancelled");
        sent_on
    });
    assert!(sent_on.iter().sum::<usize>() > 0, "nginx knows no names");
}

#[test]
fn the_status_is_told_while_its_server_is_down() {
    let test = "the_status_is_told_while_its_server_is_down";
    if !machine::has_program(test, "nginx") {
        return;
    }
    let Some(mut fleet) = Fleet::start(test, 3, "") else {
        return;
    };
    let servers: Vec<_> = fleet.servers.iter().map(Server::addr).collect();
    let servers: Vec<_> = NAMES.into_iter().zip(servers).collect();
    let nginx = Nginx::start(&servers);
    let client = Client::new(nginx.addr());
    let session = client.create("known.bin", CHUNK);
    let own = NAMES.iter().position(|name| session.id.starts_with(name));
    let own = own.expect("the name of a server");
    let before = client.status(&session);
    fleet.servers[own].kill9();
    for _ in 0..6 {
        assert_eq!(client.status(&session), before);
    }
    let chunk = client.put(&session, 0, &[7; CHUNK]);
    assert_eq!(chunk.status, 502, "nobody else takes it: {chunk:?}");
    fleet.servers[own].restart();
    let _ = client.put(&session, 0, &[7; CHUNK]).status_is(200);
}
