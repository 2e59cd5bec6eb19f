//! The document that the chunked dialect comes from: its commands and its JavaScript work as they
//! stand there.
//!
//! The text is `vectors/network-resilience.md`, unchanged. Replaced in it are, and only are:
//!
//! - `HMAC_SIGNATURE` and `YOUR_HMAC_SIGNATURE` by a signature,
//! - the port of `localhost:8080` by that of the server,
//! - in the commands the session id `1234567890_abc123` by the one that was given out, and for the
//!   chunks after the first `X-Chunk-Number: 0` and `chunk_0.bin` by theirs.
//!
//! The JavaScript runs in Node behind a prelude that stands for the page around it: a file input,
//! and a `fetch` that knows the address of the page.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use steadfast::config::UploadConfig;
use steadfast_tests::config::Config;
use steadfast_tests::data;
use steadfast_tests::process::Process;
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, sign};
use steadfast_tests::wait;
use tempfile::TempDir;

use crate::document::blocks;
use crate::machine;

const DOCUMENT: &str = include_str!("../vectors/network-resilience.md");

/// The configuration that comes with the program.
const BUNDLED: &str = include_str!("../../config.toml");

/// What the document calls `large_file.zip`, and its chunks.
const SIZE: usize = 104_857_600;
const CHUNK: usize = 5_242_880;

/// The document's configuration with its two `[server]` tables made one, which TOML asks for.
fn documents_config() -> String {
    let text = blocks(DOCUMENT, &["toml"]).remove(0);
    let (rest, second) = text.rsplit_once("[server]\n").expect("a second table");
    let (before, after) = rest.split_once("[server]\n").expect("a first table");
    format!("{before}[server]\n{second}{after}")
}

fn bundled() -> Server {
    Server::with(&Config::with(BUNDLED))
}

/// As [`bundled`], with all that the document sets, such as `chunk_size = "10MB"`.
fn configured() -> Server {
    Server::with(&Config::with(BUNDLED).and(&documents_config()))
}

#[test]
fn the_documents_configuration_is_taken_once_its_tables_are_merged() {
    let text = blocks(DOCUMENT, &["toml"]).remove(0);
    let error = UploadConfig::from_toml(&text).unwrap_err().to_string();
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| *line == "[server]");
    for (line, _) in lines {
        assert!(
            error.contains(&format!("{}", line + 1)),
            "names line {}: {error}",
            line + 1
        );
    }
    assert!(
        error.contains("[server]") && error.contains("merge"),
        "says what to do: {error}"
    );

    let merged = format!("{}\n[security]\nschemes = [\"path\"]\n", documents_config());
    let config = UploadConfig::from_toml(&merged).unwrap().config;
    assert_eq!(config.uploads.chunk_size, 10 << 20);
    assert_eq!(config.uploads.max_resumable_age.as_secs(), 48 * 3600);
    assert_eq!(config.timeouts.readtimeout.as_secs(), 4800);
    assert_eq!(config.deduplication.maxsize, 1 << 30);
    assert!(config.server.networkevents && config.server.enable_dynamic_workers);
}

/// A directory with the files that the commands name.
struct Desk {
    dir: TempDir,
    file: Vec<u8>,
}

impl Desk {
    fn new(seed: u64, chunk: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = data::random(seed, SIZE);
        std::fs::write(dir.path().join("large_file.zip"), &file).expect("a file");
        for (number, bytes) in file.chunks(chunk).enumerate() {
            std::fs::write(dir.path().join(format!("chunk_{number}.bin")), bytes).expect("a file");
        }
        Self { dir, file }
    }

    /// Runs a block of the document and answers the JSON it prints.
    fn run(&self, block: &str, server: &Server, signed: &str) -> Value {
        let port = format!("localhost:{}", server.addr().port());
        assert!(block.contains("localhost:8080"), "{block}");
        let block = block
            .replace("localhost:8080", &port)
            .replace("HMAC_SIGNATURE", &sign(signed));
        let output = Command::new("bash")
            .args(["-euc", &block])
            .current_dir(self.dir.path())
            .output();
        let output = output.expect("bash runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{block}{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Exactly one file was stored: this one.
    fn check(&self, server: &Server) {
        let stored = tree::files(&server.uploads_dir());
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].0, Path::new("large_file.zip"));
        assert!(
            stored[0].1 == self.file,
            "the bytes are those that were sent"
        );
    }
}

/// The answer that a block of the document shows under its command.
fn documented(block: &str) -> Value {
    let (_, shown) = block.split_once("# Response: ").expect("an answer");
    serde_json::from_str(shown.trim()).expect("JSON")
}

/// Every documented field has its documented value; more fields may follow.
fn matches(answer: &Value, documented: &Value) {
    for (name, value) in documented
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(name, _)| *name != "session_id")
    {
        assert_eq!(&answer[name], value, "{name} in {answer}");
    }
}

#[test]
fn the_documents_old_upload_works() {
    if !machine::has_program("the_documents_old_upload_works", "curl") {
        return;
    }
    for server in [bundled(), configured()] {
        let desk = Desk::new(1, CHUNK);
        let answer = desk.run(&blocks(DOCUMENT, &["bash"])[0], &server, "/upload");
        assert_eq!(
            answer["name"], "large_file.zip",
            "the handler's own answer: {answer}"
        );
        desk.check(&server);
    }
}

/// Runs the commands for a whole file in chunks of `chunk` bytes, and compares what is answered with
/// what the document shows, where that speaks of these chunks.
fn upload_by_commands(server: &Server, chunk: usize, announced: usize) {
    let desk = Desk::new(2, chunk);
    let documented_sizes = (chunk, announced) == (CHUNK, CHUNK);
    let [_, start, put, status] =
        <[String; 4]>::try_from(blocks(DOCUMENT, &["bash"])).expect("four blocks");
    let created = desk.run(&start, server, CHUNKED);
    assert_eq!(created["chunk_size"], announced);
    if documented_sizes {
        matches(&created, &documented(&start));
    }
    let id = created["session_id"].as_str().expect("an id");
    let chunks = SIZE.div_ceil(chunk);
    for number in 0..chunks {
        if number == 10 && documented_sizes {
            let answer = desk.run(&status.replace("1234567890_abc123", id), server, "");
            assert_eq!(answer["session_id"], id);
            matches(&answer, &documented(&status));
        }
        let command = put.replace("1234567890_abc123", id);
        let command = command.replace("X-Chunk-Number: 0", &format!("X-Chunk-Number: {number}"));
        let command = command.replace("chunk_0.bin", &format!("chunk_{number}.bin"));
        let answer = desk.run(&command, server, "");
        assert_eq!(answer["completed"], number + 1 == chunks, "{answer}");
        if number == 0 && chunk == CHUNK {
            matches(&answer, &documented(&put));
        }
    }
    desk.check(server);
}

#[test]
fn the_documents_commands_upload_a_file() {
    if !machine::has_program("the_documents_commands_upload_a_file", "curl") {
        return;
    }
    upload_by_commands(&bundled(), CHUNK, CHUNK);
    // With the document's own configuration a client may follow what is announced, or the document.
    upload_by_commands(&configured(), 10 << 20, 10 << 20);
    upload_by_commands(&configured(), CHUNK, 10 << 20);
}

/// What the page around the document's script provides. Requests are counted.
const PRELUDE: &str = r"
const { readFileSync } = require('node:fs');
const { File } = require('node:buffer');
const [, , page, path, name] = process.argv;
const fileInput = { files: [new File([readFileSync(path)], name)] };
const send = globalThis.fetch;
let requests = 0;
globalThis.fetch = (url, options) => { requests += 1; return send(new URL(url, page), options); };
process.on('exit', () => console.log(`requests: ${requests}`));
";

/// Node with the document's script, about to upload the file at `path` as `name`.
fn script(dir: &Path, server: &Server, path: &Path, name: &str) -> Command {
    let text = blocks(DOCUMENT, &["javascript"]).remove(0);
    assert!(text.contains("'YOUR_HMAC_SIGNATURE'"));
    let text = text.replace("YOUR_HMAC_SIGNATURE", &sign(CHUNKED));
    let file = dir.join("page.cjs");
    std::fs::write(&file, format!("{PRELUDE}{text}")).expect("a file");
    let mut node = Command::new("node");
    node.arg(file)
        .arg(format!("http://{}/", server.addr()))
        .arg(path)
        .arg(name);
    node
}

/// Uploads `len` bytes by the script, without a single retry.
fn upload_by_script(server: &Server, name: &str, len: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, file) = (dir.path().join("file"), data::random(len as u64, len));
    std::fs::write(&path, &file).expect("a file");
    let output = script(dir.path(), server, &path, name)
        .output()
        .expect("node runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let chunks = len.div_ceil(CHUNK);
    assert!(
        text.contains("Upload completed!") && errors.is_empty(),
        "{name}: {text}{errors}"
    );
    assert!(
        text.contains(&format!("requests: {}\n", 1 + chunks)),
        "{name}: nothing is retried: {text}"
    );
    let stored = std::fs::read(server.uploads_dir().join(name)).expect("the file is there");
    assert!(stored == file, "{name}: the bytes are those that were sent");
}

#[test]
fn the_documents_script_uploads_files() {
    if !machine::has_program("the_documents_script_uploads_files", "node") {
        return;
    }
    for server in [bundled(), configured()] {
        upload_by_script(&server, "large_file.zip", SIZE);
        upload_by_script(&server, "odd.bin", 2 * CHUNK + 1_234_567);
        upload_by_script(&server, "one-chunk.bin", CHUNK);
        upload_by_script(&server, "small.bin", 300_000);
        upload_by_script(&server, "byte.bin", 1);
        upload_by_script(&server, "empty.bin", 0);
        // Header values are ISO-8859-1 for `fetch`.
        upload_by_script(&server, "größe.bin", 70_000);
        assert_eq!(
            tree::list(&server.uploads_dir()).len(),
            7,
            "each was handed over once"
        );
    }
}

#[test]
fn the_documents_script_survives_a_restart() {
    if !machine::has_program("the_documents_script_survives_a_restart", "node") {
        return;
    }
    let mut server = bundled();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, file) = (dir.path().join("file"), data::random(9, SIZE));
    std::fs::write(&path, &file).expect("a file");
    let mut node = Process::spawn(&mut script(dir.path(), &server, &path, "restart.zip"));
    wait::until("some chunks are uploaded", wait::SOON, || {
        node.logs().contains("Chunk 3/20 uploaded")
    });
    server.restart();
    assert!(node.wait(wait::SOON * 2).success());
    let logs = node.logs();
    assert!(logs.contains("Upload completed!"), "{logs}");
    let stored = tree::files(&server.uploads_dir());
    assert_eq!(stored.len(), 1, "handed over once");
    assert!(stored[0].1 == file, "the bytes are those that were sent");
}
