//! A real Redis server, owned by a test.
//!
//! 1. It listens on loopback, on a port or a socket of its own, and keeps nothing on disk.
//! 2. Whatever the address it is reached by, there is a Unix socket for the test itself, so that
//!    [`Redis::command`] works with TLS, beside a cut network and without a free port.
//! 3. It ends with its handle.

mod resp;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::process::Process;
use crate::server::free_address;
use crate::wait::{self, SOON};

pub use resp::{Connection, REPLY_LIMIT, Reply};

/// How the server is reached.
#[derive(Debug, Clone)]
enum Address {
    Tcp(SocketAddr),
    Tls(SocketAddr, Certificates),
    Unix,
}

/// A running server.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    address: Address,
    extra: Vec<String>,
    dir: TempDir,
}

impl Redis {
    /// Whether there is a program to start.
    ///
    /// # Errors
    /// What is missing.
    pub fn usable() -> Result<(), String> {
        let version = Command::new("redis-server").arg("--version").output();
        match version {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("redis-server does not run here: {}", output.status)),
            Err(error) => Err(format!("redis-server: {error}")),
        }
    }

    /// Starts on a TCP port, with `extra` arguments such as `["--maxmemory", "1mb"]`,
    /// `["--requirepass", "secret"]` or `["--user", "ann", "on", ">secret", "~*", "+@all"]`.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(extra: &[&str]) -> Self {
        Self::with(extra, |_| Address::Tcp(free_address()))
    }

    /// Starts on a Unix socket.
    ///
    /// # Panics
    /// As [`Redis::start`].
    #[must_use]
    pub fn unix(extra: &[&str]) -> Self {
        Self::with(extra, |_| Address::Unix)
    }

    /// Starts on a TCP port with TLS, without a certificate of the client.
    ///
    /// # Panics
    /// As [`Redis::start`], and when openssl fails.
    #[must_use]
    pub fn tls(extra: &[&str]) -> Self {
        let mut made = None;
        Self::with(extra, |dir| {
            let certificates = made.get_or_insert_with(|| Certificates::make(dir));
            Address::Tls(free_address(), certificates.clone())
        })
    }

    fn with(extra: &[&str], mut address: impl FnMut(&Path) -> Address) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let extra: Vec<String> = extra.iter().map(|&word| word.to_owned()).collect();
        for _ in 0..20 {
            let address = address(dir.path());
            match launch(dir.path(), &address, &extra) {
                Ok(process) => {
                    return Self {
                        process,
                        address,
                        extra,
                        dir,
                    };
                }
                Err(logs) if is_taken(&logs) => {}
                Err(logs) => panic!("redis-server did not start: {logs}"),
            }
        }
        panic!("no free port");
    }

    /// The URL by which it is reached, with the password of `--requirepass`.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self.password();
        match &self.address {
            Address::Tcp(addr) | Address::Tls(addr, _) => self.url_through(*addr),
            Address::Unix => {
                let pass = password.map(|word| format!("?pass={word}"));
                let path = self.socket();
                format!("unix://{}{}", path.display(), pass.unwrap_or_default())
            }
        }
    }

    /// The URL by which it is reached over something that stands before it at `addr`.
    #[must_use]
    pub fn url_through(&self, addr: SocketAddr) -> String {
        let scheme = match self.address {
            Address::Tls(..) => "rediss",
            _ => "redis",
        };
        let login = self.password().map(|word| format!(":{word}@"));
        format!("{scheme}://{}{addr}/0", login.unwrap_or_default())
    }

    /// The TCP address.
    ///
    /// # Panics
    /// When it listens on a Unix socket only.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(addr) | Address::Tls(addr, _) => *addr,
            Address::Unix => panic!("there is no port"),
        }
    }

    /// The certificates.
    ///
    /// # Panics
    /// Without TLS.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        match &self.address {
            Address::Tls(_, certificates) => certificates,
            _ => panic!("there is no TLS"),
        }
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `SIGKILL`, then waits for the end.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts again at the same address, empty; ends the old process with `SIGKILL` when it
    /// still runs.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.process.kill9();
        // Somebody may be trying whether the port is free.
        self.process = wait::eventually("the port is free again", SOON, || {
            match launch(self.dir.path(), &self.address, &self.extra) {
                Ok(process) => Some(process),
                Err(logs) if is_taken(&logs) => None,
                Err(logs) => panic!("no restart: {logs}"),
            }
        });
    }

    /// Lets it stand still: the kernel accepts for it, nothing is answered.
    ///
    /// # Panics
    /// When it has ended.
    pub fn stop(&self) {
        self.process.stop();
    }

    /// Lets it run again.
    ///
    /// # Panics
    /// When it has ended.
    pub fn cont(&self) {
        self.process.cont();
    }

    /// A connection of the test's own, logged in with the password of `--requirepass`.
    ///
    /// # Errors
    /// What the socket says.
    pub fn connect(&self) -> io::Result<Connection> {
        let mut connection = Connection::unix(&self.socket())?;
        if let Some(password) = self.password() {
            let reply = connection.command(&["AUTH", password])?;
            if let Some(refusal) = reply.error() {
                return Err(io::Error::other(refusal.to_owned()));
            }
        }
        Ok(connection)
    }

    /// Runs a command over a connection of its own.
    ///
    /// # Panics
    /// When no reply comes; an error is a reply.
    pub fn command(&self, words: &[&str]) -> Reply {
        self.try_command(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// As [`Redis::command`], for servers that may be dead.
    ///
    /// # Errors
    /// What the socket says.
    pub fn try_command(&self, words: &[&str]) -> io::Result<Reply> {
        self.connect()?.command(words)
    }

    /// A number from `INFO`, such as `total_commands_processed`.
    ///
    /// # Panics
    /// When there is no such line.
    #[must_use]
    pub fn info(&self, line: &str) -> i64 {
        let text = self.command(&["INFO", "everything"]).text();
        let text = text.expect("INFO is text");
        let mut lines = text.lines();
        let found = lines.find_map(|known| known.strip_prefix(line)?.strip_prefix(':'));
        found
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or_else(|| panic!("no {line} in {text}"))
    }

    fn socket(&self) -> PathBuf {
        socket(self.dir.path())
    }

    fn password(&self) -> Option<&str> {
        let at = self.extra.iter().position(|word| word == "--requirepass")?;
        self.extra.get(at + 1).map(String::as_str)
    }
}

/// Whether it ended because another process has its port.
fn is_taken(logs: &str) -> bool {
    logs.to_lowercase().contains("in use")
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("redis.sock")
}

fn launch(dir: &Path, address: &Address, extra: &[String]) -> Result<Process, String> {
    // One that was killed leaves it behind.
    let _ = std::fs::remove_file(socket(dir));
    let mut process = Process::spawn(command(dir, address).args(extra));
    // The socket is the last thing it opens: when it answers there, it listens everywhere.
    wait::eventually("redis-server answers", SOON, || {
        if let Some(status) = process.exited() {
            return Some(Err(format!("ended with {status}:\n{}", process.logs())));
        }
        let reply = Connection::unix(&socket(dir)).and_then(|mut own| own.command(&["PING"]));
        match reply.ok()? {
            Reply::Error(text) if text.starts_with("LOADING") => None,
            // Who must log in first is told so by a server that is up.
            _ => Some(Ok(())),
        }
    })?;
    Ok(process)
}

fn command(dir: &Path, address: &Address) -> Command {
    let mut command = Command::new("redis-server");
    command.current_dir(dir).arg("--dir").arg(dir);
    command.args(["--daemonize", "no", "--save", "", "--appendonly", "no"]);
    command.args(["--bind", "127.0.0.1", "--unixsocketperm", "700"]);
    command.arg("--unixsocket").arg(socket(dir));
    match address {
        Address::Unix => command.args(["--port", "0"]),
        Address::Tcp(addr) => command.args(["--port", &addr.port().to_string()]),
        Address::Tls(addr, certificates) => {
            let port = addr.port().to_string();
            command.args([
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-auth-clients",
                "no",
            ]);
            command
                .arg("--tls-ca-cert-file")
                .arg(certificates.authority());
            command
                .arg("--tls-cert-file")
                .arg(certificates.certificate("server"));
            command
                .arg("--tls-key-file")
                .arg(certificates.key("server"))
        }
    };
    command
}
