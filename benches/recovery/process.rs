//! A server from outside.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that takes no more than requests do in this time has read everything.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// The unit in which the kernel counts processor time.
const TICK: Duration = Duration::from_millis(10);

/// A running server; it ends with this value.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server over `dir`, and waits until it listens.
    pub(crate) fn start(dir: &Path) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = process.stdout.take();
        let out = out.ok_or_else(|| io::Error::other("the server has no pipe"))?;
        BufReader::new(out).read_line(&mut line)?;
        let port: u16 = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self {
            process,
            address: (Ipv4Addr::LOCALHOST, port).into(),
        })
    }

    /// A line of `/proc/<pid>/status` that is about memory, in bytes.
    pub(crate) fn memory(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib << 10)
            .ok_or_else(|| io::Error::other(format!("the kernel tells no {name}")))
    }

    /// Processor time of the whole process so far.
    fn cpu(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let (_, rest) = stat
            .rsplit_once(')')
            .ok_or_else(|| io::Error::other("the kernel tells no times"))?;
        let ticks: u32 = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|text| text.parse::<u32>().ok())
            .sum();
        Ok(TICK * ticks)
    }

    pub(crate) fn until_quiet(&self, begun: Instant) -> Quiet {
        Quiet {
            looked: begun,
            ended: begun,
            cpu: Duration::ZERO,
        }
    }
}

/// Notices when a server has come to rest.
pub(crate) struct Quiet {
    looked: Instant,
    /// The last time it was at work.
    pub(crate) ended: Instant,
    /// What it had taken until then.
    pub(crate) cpu: Duration,
}

impl Quiet {
    pub(crate) fn is_over(&mut self, server: &Server) -> io::Result<bool> {
        if self.looked.elapsed() < QUIET_FOR / 4 {
            return Ok(false);
        }
        let (now, cpu) = (Instant::now(), server.cpu()?);
        // The requests that are made meanwhile take some.
        let share = (now - self.looked) / 8;
        self.looked = now;
        if cpu.saturating_sub(self.cpu) > share {
            (self.ended, self.cpu) = (now, cpu);
        } else if now - self.ended < QUIET_FOR {
            self.cpu = cpu;
        }
        Ok(now - self.ended >= QUIET_FOR)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
