use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::contestant::Contestant;

/// Resets the high-water mark of resident memory: `proc_pid_clear_refs(5)`.
const RESET_PEAK: &str = "5";
/// A server that takes less than this in [`QUIET_FOR`] does nothing any more.
const QUIET_BELOW: Duration = Duration::from_millis(1);
const QUIET_FOR: Duration = Duration::from_millis(20);
/// Most looks for a server that does nothing any more.
const QUIET_LOOKS: u32 = 100;

/// A running server; killed when this value goes.
pub(crate) struct Server {
    process: Child,
    /// It ends when these do.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    /// Starts a server that writes to `dir`, and waits until it listens.
    pub(crate) fn start(contestant: Contestant, dir: &Path) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--serve", contestant.name()])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(questions), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("the server has no pipes"));
        };
        let mut server = Self {
            process,
            questions: Some(questions),
            answers: BufReader::new(answers),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        };
        let port = server.answer()?;
        server.address.set_port(port);
        Ok(server)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor time so far, user and system, of the threads that ended as well.
    pub(crate) fn cpu(&mut self) -> io::Result<Duration> {
        let ended = || io::Error::other("the server has ended");
        self.questions
            .as_ref()
            .ok_or_else(ended)?
            .write_all(b"\n")?;
        Ok(Duration::from_nanos(self.answer()?))
    }

    /// The same once it does nothing any more: what is left to do after the last answer counts.
    pub(crate) fn cpu_at_rest(&mut self) -> io::Result<Duration> {
        let mut before = self.cpu()?;
        for _ in 0..QUIET_LOOKS {
            std::thread::sleep(QUIET_FOR);
            let now = self.cpu()?;
            if now.saturating_sub(before) < QUIET_BELOW {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }

    /// Forgets the most memory it had resident.
    pub(crate) fn reset_peak(&self) -> io::Result<()> {
        fs::write(self.proc("clear_refs"), RESET_PEAK)
    }

    /// The most memory it had resident since, in bytes.
    pub(crate) fn peak_rss(&self) -> io::Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib << 10)
            .ok_or_else(|| io::Error::other("the kernel tells no VmHWM"))
    }

    /// Waits until it has ended by itself.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.questions = None;
        self.process.wait().map(drop)
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.id())
    }

    /// Reads one line that is a number.
    fn answer<T: std::str::FromStr>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let number = line.trim().parse();
        number.map_err(|_| io::Error::other(format!("the server said {line:?}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
