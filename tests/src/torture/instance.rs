//! A server process, from its start to its death.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::wire::{self, Wire};
use crate::config::Config;
use crate::process::Process;

/// Far above what any start takes.
const START_MAX: Duration = Duration::from_secs(30);
const TRY_EVERY: Duration = Duration::from_micros(500);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program, behind what it runs under.
    pub command: Vec<PathBuf>,
    /// Its working directory.
    pub work: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// Added to its environment.
    pub env: Vec<(String, String)>,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// A started server.
#[derive(Debug)]
pub struct Instance {
    process: Process,
    addr: SocketAddr,
    spawned: Instant,
}

impl Instance {
    /// Starts it, and waits for nothing.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn spawn(setup: &Setup, run: &[(&str, String)]) -> Self {
        let path = setup.work.join("config.toml");
        let config = setup
            .config
            .clone()
            .set("server", "bind", &setup.addr.to_string());
        std::fs::write(&path, config.text()).expect("the configuration is written");
        let mut command = Command::new(&setup.command[0]);
        command
            .args(&setup.command[1..])
            .current_dir(&setup.work)
            .arg("--config")
            .arg(&path)
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .envs(setup.env.iter().map(|(name, value)| (name, value)))
            .envs(run.iter().map(|(name, value)| (name, value)));
        let spawned = Instant::now();
        Self {
            process: Process::spawn(&mut command),
            addr: setup.addr,
            spawned,
        }
    }

    /// Waits for its first answer, and says how long after its start that came.
    ///
    /// # Errors
    /// What it printed, when it ends instead or takes too long.
    pub fn answered(&mut self) -> Result<Duration, String> {
        let request = wire::status("nobody");
        loop {
            if Wire::new(self.addr).send(&request).is_ok() {
                return Ok(self.spawned.elapsed());
            }
            let ended = self.process.exited();
            if ended.is_some() || self.spawned.elapsed() > START_MAX {
                let how = ended.map_or("no answer".to_owned(), |status| status.to_string());
                return Err(format!("{how}\n{}", self.tail()));
            }
            std::thread::sleep(TRY_EVERY);
        }
    }

    /// The end of what it printed.
    #[must_use]
    pub fn tail(&self) -> String {
        let logs = self.process.logs();
        let lines: Vec<&str> = logs.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// All that it printed.
    #[must_use]
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
