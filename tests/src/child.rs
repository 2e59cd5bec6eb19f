//! The scripted app in a process of its own, so that it can be killed in the middle of a
//! hand-off.
//!
//! The process is this test binary again: it runs one test, which serves when [`ASKED`] is
//! set and does nothing otherwise.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::app;
use crate::config::Config;
use crate::data;
use crate::process::Process;
use crate::script::{Answer, Call, Reply, Script};
use crate::upload::Client;
use crate::wait::SOON;

/// The environment variable that names the directory to serve.
pub const ASKED: &str = "STEADFAST_TEST_CHILD";

/// A process that serves a handler which does what the file `behaviour` says and writes a
/// line to the file `calls` for every call, before it answers.
#[derive(Debug)]
pub struct ChildApp {
    process: Process,
    addr: SocketAddr,
    test: String,
    dir: TempDir,
}

impl ChildApp {
    /// Starts the test named `test` of this binary as a server. `behaviour` is `hang` or a
    /// status code.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(test: &str, config: Config, behaviour: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = app::placed(config, dir.path());
        std::fs::write(dir.path().join("config.toml"), config.text())
            .expect("the configuration is written");
        let (process, addr) = launch(test, dir.path(), behaviour);
        Self {
            process,
            addr,
            test: test.to_owned(),
            dir,
        }
    }

    /// `SIGKILL`, then starts again on the same directory with another behaviour.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self, behaviour: &str) {
        self.process.kill9();
        let (process, addr) = launch(&self.test, self.dir.path(), behaviour);
        self.process = process;
        self.addr = addr;
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// The calls over all restarts: `Idempotency-Key` and SHA-256 of the body.
    #[must_use]
    pub fn calls(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        let whole = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        whole
            .filter_map(|line| line.split_once(' '))
            .map(|(key, sum)| (key.to_owned(), sum.to_owned()))
            .collect()
    }

    /// Where the sessions live.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }
}

fn launch(test: &str, dir: &Path, behaviour: &str) -> (Process, SocketAddr) {
    std::fs::write(dir.join("behaviour"), behaviour).expect("the behaviour is written");
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ASKED, dir);
    let mut process = Process::spawn(&mut command);
    let addr = process
        .address(SOON)
        .unwrap_or_else(|logs| panic!("no child: {logs}"));
    (process, addr)
}

/// Serves for ever when this process was started by [`ChildApp`]; returns at once otherwise.
///
/// # Panics
/// When the app cannot be served.
pub fn serve_if_asked() {
    let Some(dir) = std::env::var_os(ASKED).map(PathBuf::from) else {
        return;
    };
    let config = std::fs::read_to_string(dir.join("config.toml")).expect("a configuration");
    let behaviour = std::fs::read_to_string(dir.join("behaviour")).expect("a behaviour");
    let script = Script::new(move |call| {
        remember(&dir, call);
        match behaviour.parse::<u16>() {
            Ok(status) => Answer::text(status, "from the child").into(),
            Err(_) => Reply::Hang,
        }
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let addr = app::serve(config, script, Arc::new(|layer| layer))
            .await
            .expect("the app starts");
        let line = format!("\nlistening on http://{addr}\n");
        std::io::stdout()
            .write_all(line.as_bytes())
            .expect("the parent listens");
        std::future::pending::<()>().await;
    });
}

fn remember(dir: &Path, call: &Call) {
    let key = call.header("idempotency-key").unwrap_or("none");
    let line = format!("{key} {}\n", data::sha256_hex(&call.body));
    let mut calls = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("calls"))
        .expect("a file");
    calls.write_all(line.as_bytes()).expect("a line");
}
