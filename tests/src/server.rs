//! The real server program, in a directory of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::config::Config;
use crate::process::Process;
use crate::upload::Client;

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long an orderly end may take.
pub const END_LIMIT: Duration = Duration::from_secs(45);

/// A running server.
///
/// `root/cwd` is its working directory; nothing else may ever appear in `root`.
#[derive(Debug)]
pub struct Server {
    process: Process,
    addr: SocketAddr,
    config: Config,
    environment: Vec<(String, String)>,
    root: TempDir,
}

impl Server {
    /// Starts with the base configuration and `extra` over it.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(extra: &str) -> Self {
        Self::with(&Config::with(extra))
    }

    /// Starts with a whole configuration.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn with(config: &Config) -> Self {
        Self::prepared(config, &[], |_| {})
    }

    /// As [`Server::with`], with environment variables and in a working directory that `prepare`
    /// has put something into.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn prepared(
        config: &Config,
        environment: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let work = root.path().join("cwd");
        std::fs::create_dir(&work).expect("a working directory");
        prepare(&work);
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        for _ in 0..20 {
            let config = at_address(config.clone(), free_address());
            match launch(&work, &config, &environment) {
                Ok((process, addr)) => {
                    return Self {
                        process,
                        addr,
                        config,
                        environment,
                        root,
                    };
                }
                Err(logs) if logs.to_lowercase().contains("in use") => {}
                Err(logs) => panic!("the server did not start: {logs}"),
            }
        }
        panic!("no free port");
    }

    /// Runs the program once on a configuration and returns its exit status and output:
    /// for configurations that must be refused.
    ///
    /// # Panics
    /// When it starts serving.
    #[must_use]
    pub fn refused(config: &Config) -> (ExitStatus, String) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let config = config
            .clone()
            .set("server", "bind", &free_address().to_string());
        match launch(root.path(), &config, &[]) {
            Ok((process, _)) => panic!("the server started:\n{}", process.logs()),
            Err(logs) => (ExitStatus::default(), logs),
        }
    }

    /// Starts again on the same directory and the same port; ends the old process with
    /// `SIGKILL` when it still runs.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.process.kill9();
        let (process, addr) = launch(&self.work(), &self.config, &self.environment)
            .unwrap_or_else(|logs| panic!("no restart: {logs}"));
        self.process = process;
        self.addr = addr;
    }

    /// A second process on the same directory, on a port of its own. It is up once it
    /// prints its address.
    #[must_use]
    pub fn rival(&self) -> Process {
        let config = self
            .config
            .clone()
            .set("server", "bind", &free_address().to_string());
        let path = self.root.path().join("rival.toml");
        std::fs::write(&path, config.text()).expect("the configuration is written");
        Process::spawn(&mut command(&self.work(), &path))
    }

    /// Changes the configuration that the next [`Server::restart`] uses.
    pub fn reconfigure(&mut self, extra: &str) {
        self.config = self.config.clone().and(extra);
    }

    /// The file that configures it.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.work().join("config.toml")
    }

    /// The configuration it was last given, with `extra` over it.
    #[must_use]
    pub fn config_with(&self, extra: &str) -> String {
        self.config.clone().and(extra).text()
    }

    /// `SIGKILL`, then waits for the end.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// `SIGTERM`, then waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate(END_LIMIT)
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The exit status, once it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A client for it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// The directory above its working directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Its working directory.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root.path().join("cwd")
    }

    /// Where the sessions live.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        let named = self.config.text_of("uploads", "state_dir");
        self.work().join(named.as_deref().unwrap_or("data/uploads"))
    }

    /// Where the example's own handler stores files.
    #[must_use]
    pub fn uploads_dir(&self) -> PathBuf {
        self.work().join("uploads")
    }

    /// A line of `/proc/<pid>/status` in bytes, such as `VmRSS` or `VmHWM`.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn memory(&self, line: &str) -> u64 {
        let text = self.proc_file("status");
        let found = text
            .lines()
            .find_map(|known| known.strip_prefix(line)?.strip_prefix(':'));
        let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("a line in kB") * 1024
    }

    /// The file mode mask of the process.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn umask(&self) -> u32 {
        let text = self.proc_file("status");
        let found = text.lines().find_map(|line| line.strip_prefix("Umask:"));
        u32::from_str_radix(found.expect("a mask").trim(), 8).expect("octal")
    }

    /// Processor time used so far, user and system, in clock ticks.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn cpu_ticks(&self) -> u64 {
        let text = self.proc_file("stat");
        let after_name = text.rsplit_once(')').expect("a process name").1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |at: usize| fields[at].parse::<u64>().expect("a number");
        field(11) + field(12)
    }

    /// Descriptors the process holds open.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("the process lives")
            .count()
    }

    /// How many connections over IPv4 it has not closed yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        let port = format!(":{:04X}", self.addr().port());
        let table = self.proc_file("net/tcp");
        let rows = table.lines().map(|row| row.split_whitespace().collect());
        let is_ours = |row: &Vec<&str>| row.get(1).is_some_and(|local| local.ends_with(&port));
        // Established, or closed by the client alone.
        let is_open = |row: &Vec<&str>| matches!(row.get(3), Some(&("01" | "08")));
        rows.filter(|row| is_ours(row) && is_open(row)).count()
    }

    fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.pid())).expect("the process lives")
    }
}

/// `config` for a server at `addr`. One that has a name tells the others where it is.
fn at_address(config: Config, addr: SocketAddr) -> Config {
    let is_named = config.text_of("server", "name").is_some();
    let config = config.set("server", "bind", &addr.to_string());
    match is_named {
        true => config.set("server", "advertise", &format!("http://{addr}")),
        false => config,
    }
}

fn launch(
    work: &Path,
    config: &Config,
    environment: &[(String, String)],
) -> Result<(Process, SocketAddr), String> {
    let path = work.join("config.toml");
    std::fs::write(&path, config.text()).expect("the configuration is written");
    let mut command = command(work, &path);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut process = Process::spawn(&mut command);
    let addr = process.address(START_LIMIT)?;
    Ok((process, addr))
}

fn command(work: &Path, config: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(work).arg("--config").arg(config);
    command.env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

/// The release program: `STEADFAST_SERVER_BIN`, or built once by this process.
///
/// # Panics
/// When it cannot be built.
pub fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| match std::env::var_os("STEADFAST_SERVER_BIN") {
        Some(named) => PathBuf::from(named),
        None => build("steadfast-server", "steadfast-server"),
    })
}

/// Builds a release program of the workspace and says where it is.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn build(package: &str, program: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command.args([
        "build",
        "--release",
        "-p",
        package,
        "--bin",
        program,
        "--message-format=json",
    ]);
    let output = command.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = lines.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str()?;
        (message["target"]["name"] == program).then(|| PathBuf::from(path))
    });
    found.expect("cargo names the program")
}

/// An address whose port lies below the range that outgoing connections use, so that no
/// client of another test can sit on it while a server restarts.
///
/// # Panics
/// Never: a process id has a remainder.
#[must_use]
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that start one after the other begin far from each other.
    let base = u16::try_from(std::process::id() % 9_000 * 613 % 9_000).expect("below 9000");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (base + step % 9_000) % 18_000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}
