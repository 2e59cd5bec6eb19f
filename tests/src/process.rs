//! A child process with its output captured, killed when dropped.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::wait;

/// A server process that prints its address as `http://127.0.0.1:PORT`.
#[derive(Debug)]
pub struct Process {
    child: Child,
    logs: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let logs = Arc::new(Mutex::new(String::new()));
        let out = capture(child.stdout.take().expect("a pipe"), &logs);
        let err = capture(child.stderr.take().expect("a pipe"), &logs);
        Self {
            child,
            logs,
            readers: vec![out, err],
            exit: None,
        }
    }

    /// Waits for the line that names the address.
    ///
    /// # Errors
    /// The output, when the program ends first.
    pub fn address(&mut self, limit: Duration) -> Result<SocketAddr, String> {
        wait::eventually("the program prints its address", limit, || {
            if let Some(found) = address_in(&self.logs()) {
                return Some(Ok(found));
            }
            let ended = self.exited();
            ended.map(|status| Err(format!("ended with {status}:\n{}", self.logs())))
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed so far, without colours.
    #[must_use]
    pub fn logs(&self) -> String {
        let text = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        without_escapes(&text)
    }

    /// What the program has printed from this byte on, as it came.
    #[must_use]
    pub fn raw_logs(&self, from: usize) -> String {
        let text = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        text.get(from..).unwrap_or_default().to_owned()
    }

    /// The exit status, once it has ended; all it printed is then in the log.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().expect("a child can be asked");
            self.drained();
        }
        self.exit
    }

    fn drained(&mut self) {
        if self.exit.is_some() {
            for reader in self.readers.drain(..) {
                let _ = reader.join();
            }
        }
    }

    /// `SIGKILL`, then waits.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        self.exit = self.child.wait().ok();
        self.drained();
    }

    /// `SIGTERM`, without waiting.
    ///
    /// # Panics
    /// When the process is gone already.
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// `SIGSTOP`, then waits until it stands still.
    ///
    /// # Panics
    /// When the process is gone already.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        wait::until("the program stands still", wait::SOON, || {
            self.state() == 'T'
        });
    }

    /// `SIGCONT`, then waits until it runs.
    ///
    /// # Panics
    /// When the process is gone already.
    pub fn cont(&self) {
        self.signal(Signal::CONT);
        wait::until("the program runs", wait::SOON, || self.state() != 'T');
    }

    fn signal(&self, signal: Signal) {
        assert!(self.exit.is_none(), "the process has ended");
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not zero");
        rustix::process::kill_process(pid, signal).expect("the signal is sent");
    }

    /// The letter that says what it does: see proc(5).
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("the process lives");
        let after_name = stat.rsplit_once(") ").expect("a process name").1;
        after_name.chars().next().expect("a state")
    }

    /// `SIGTERM`, then waits for the end.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.ask_to_end();
        self.wait(limit)
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait::eventually("the program ends", limit, || self.exited())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.kill9();
        }
        if std::thread::panicking() {
            let logs = self.logs();
            let from = logs.len().saturating_sub(4000);
            let tail = logs.get(from..).unwrap_or(&logs);
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("--- the server's log ends with\n{tail}\n").as_bytes(),
            );
        }
    }
}

fn capture(pipe: impl Read + Send + 'static, logs: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let logs = Arc::clone(logs);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            let text = String::from_utf8_lossy(&line).into_owned();
            logs.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
            line.clear();
        }
    })
}

/// The first address of this machine in a text whose line is complete.
fn address_in(text: &str) -> Option<SocketAddr> {
    let whole = &text[..=text.rfind('\n')?];
    let mut from = 0;
    while let Some(at) = whole[from..].find("://127.0.0.1:") {
        let start = from + at + "://".len();
        let rest = &whole[start..];
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
            .unwrap_or(rest.len());
        let parsed: Option<SocketAddr> = rest[..end].trim_end_matches(['.', ':']).parse().ok();
        let is_ours = ["http", "https"]
            .iter()
            .any(|protocol| whole[..from + at].ends_with(protocol));
        if let Some(found) = parsed.filter(|found| is_ours && found.port() != 0) {
            return Some(found);
        }
        from = start;
    }
    None
}

fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        for part in rest.by_ref() {
            if part.is_ascii_alphabetic() {
                break;
            }
        }
    }
    out
}
