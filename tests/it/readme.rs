//! The README: its commands run, and its configurations load.
//!
//! All commands run in order in one bash session, in an empty directory that looks like the
//! repository as far as they need it: `target/release/steadfast-server` and `config.toml`. Left out
//! are the two commands that set things up and run the tests. The address is the README's, unless
//! somebody else listens there: then another port stands in its place.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use steadfast::config::UploadConfig;
use steadfast_tests::process::Process;
use steadfast_tests::server::Server;

use crate::document::blocks;
use crate::machine;

const README: &str = include_str!("../../README.md");
const ADDRESS: &str = "127.0.0.1:8080";

/// Commands for the machine of the reader, with what they build and run.
const SET_UP: [&str; 2] = ["cargo run --release -p steadfast-server", "tests/run"];

/// Ends what a failed session leaves running, and only that: the jobs of this very shell.
const PRELUDE: &str = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n";

/// Far above what the session needs.
const LIMIT: Duration = Duration::from_secs(120);

fn is_set_up(line: &str) -> bool {
    SET_UP.iter().any(|command| line.starts_with(command))
}

/// Every command of the README but for the set-up.
fn session() -> String {
    let text = blocks(README, &["sh", "bash"]).join("\n");
    for command in SET_UP {
        let count = text
            .lines()
            .filter(|line| line.starts_with(command))
            .count();
        assert_eq!(
            count, 1,
            "the set-up is these two commands, each once: {command}"
        );
    }
    text.split_inclusive('\n')
        .filter(|line| !is_set_up(line))
        .collect()
}

/// The README's address, or one like it if that is taken.
fn address() -> String {
    let free = TcpListener::bind(ADDRESS).or_else(|_| TcpListener::bind("127.0.0.1:0"));
    free.and_then(|listener| listener.local_addr())
        .expect("a free port")
        .to_string()
}

/// The program that the tests use.
fn program() -> PathBuf {
    let server = Server::start("");
    std::fs::read_link(format!("/proc/{}/exe", server.pid())).expect("the path of its program")
}

fn prepare(dir: &Path) {
    std::fs::create_dir_all(dir.join("target/release")).expect("a directory");
    let program_link = dir.join("target/release/steadfast-server");
    std::os::unix::fs::symlink(program(), program_link).expect("a link");
    std::fs::write(dir.join("config.toml"), include_str!("../../config.toml")).expect("a file");
}

/// The texts that `echo` prints when all is well.
fn promised(session: &str) -> Vec<&str> {
    let echoes = session.split("echo \"").skip(1);
    echoes
        .filter_map(|rest| rest.split_once('"'))
        .map(|(text, _)| text)
        .filter(|text| !text.contains('$'))
        .collect()
}

#[test]
fn the_commands_of_the_readme_work() {
    let test = "the_commands_of_the_readme_work";
    if !machine::has_program(test, "curl") || !machine::has_program(test, "openssl") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    prepare(dir.path());
    let address = address();
    let session = session().replace(ADDRESS, &address);
    assert!(session.contains(&address), "the README talks to the server");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("{PRELUDE}{session}")])
        .current_dir(dir.path());
    bash.env("STEADFAST__SERVER__BIND", &address)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG");
    let mut bash = Process::spawn(&mut bash);
    let status = bash.wait(LIMIT);
    let server_log = std::fs::read_to_string(dir.path().join("server.log")).unwrap_or_default();
    assert!(
        status.success(),
        "{status}\n{}\n--- server.log\n{server_log}",
        bash.logs()
    );
    for text in promised(&session) {
        assert!(
            bash.logs().contains(text),
            "{text:?} is not printed:\n{}",
            bash.logs()
        );
    }
}

#[test]
fn the_configurations_of_the_readme_load() {
    let found = blocks(README, &["toml"]);
    assert!(!found.is_empty());
    // What the first one says, the later ones add to.
    let first = found[0].clone();
    for text in found {
        let text = match text == first {
            true => text,
            false => format!("{first}\n{text}"),
        };
        let loaded = UploadConfig::from_toml(&text);
        assert!(loaded.is_ok(), "{text}\n{}", loaded.unwrap_err());
    }
}
