//! A real nginx before several servers, with the configuration that is shipped.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::Process;
use crate::server::free_address;
use crate::wait::{self, SOON};

/// `deploy/nginx.conf`.
pub const SHIPPED: &str = include_str!("../../deploy/nginx.conf");

/// Names and addresses of the servers in [`SHIPPED`]; the first stands for each.
const EXAMPLES: [(&str, &str); 3] = [
    ("node-1", "192.0.2.11:8080"),
    ("node-2", "192.0.2.12:8080"),
    ("node-3", "192.0.2.13:8080"),
];

/// Everything outside what is shipped: one process, without root and outside the directories of
/// the system.
const AROUND: &str = "\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
    access_log /dev/stdout;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include shipped.conf;
}
";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Nginx {
    /// Starts before servers with names, as shipped.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(servers: &[(&str, SocketAddr)]) -> Self {
        Self::with(&edited(SHIPPED, servers))
    }

    /// Starts before servers whose names it does not know: every request goes to the next one.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn round_robin(servers: &[SocketAddr]) -> Self {
        let is_entry = |line: &&str| !line.trim_start().starts_with(EXAMPLES[0].0);
        let text: Vec<_> = SHIPPED.lines().filter(is_entry).collect();
        let names: Vec<_> = (1..=servers.len()).map(|n| format!("s{n}")).collect();
        let servers: Vec<_> = names
            .iter()
            .map(String::as_str)
            .zip(servers.iter().copied())
            .collect();
        Self::with(&edited(&text.join("\n"), &servers))
    }

    fn with(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..20 {
            let addr = free_address();
            let listen = replaced(text, "listen 80;", &format!("listen {addr};"));
            match launch(dir.path(), &listen, addr) {
                Ok(process) => {
                    return Self {
                        process,
                        addr,
                        _dir: dir,
                    };
                }
                Err(logs) if logs.to_lowercase().contains("in use") => {}
                Err(logs) => panic!("nginx did not start: {logs}"),
            }
        }
        panic!("no free port");
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has printed so far: a line for every request, and what went wrong.
    #[must_use]
    pub fn logs(&self) -> String {
        self.process.logs()
    }
}

fn launch(dir: &Path, text: &str, addr: SocketAddr) -> Result<Process, String> {
    std::fs::write(dir.join("shipped.conf"), text).expect("the configuration is written");
    std::fs::write(dir.join("nginx.conf"), AROUND).expect("the configuration is written");
    let mut command = Command::new("nginx");
    // Debian has it where the path of an ordinary user does not lead.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.current_dir(dir).args(["-e", "stderr", "-p"]);
    command.arg(dir).arg("-c").arg(dir.join("nginx.conf"));
    let mut process = Process::spawn(&mut command);
    wait::eventually("nginx accepts", SOON, || {
        if let Some(status) = process.exited() {
            return Some(Err(format!("ended with {status}:\n{}", process.logs())));
        }
        // It names its system once it has the port; before, somebody else may accept there.
        let listens = process.logs().contains(": OS: ");
        (listens && TcpStream::connect(addr).is_ok()).then_some(Ok(()))
    })?;
    Ok(process)
}

/// Every line that speaks of the first example, once for each of `servers`; none that speaks of
/// another example.
fn edited(text: &str, servers: &[(&str, SocketAddr)]) -> String {
    let mentions =
        |line: &str, (name, address): (&str, &str)| line.contains(name) || line.contains(address);
    let mut out = String::new();
    for line in text.lines() {
        if EXAMPLES[1..].iter().any(|&other| mentions(line, other)) {
            continue;
        }
        let copies = if mentions(line, EXAMPLES[0]) {
            servers
        } else {
            &[]
        };
        for (name, addr) in copies {
            let (known, address) = EXAMPLES[0];
            let line = line
                .replace(known, name)
                .replace(address, &addr.to_string());
            out.push_str(&(line + "\n"));
        }
        if !mentions(line, EXAMPLES[0]) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} stands there once");
    text.replace(from, to)
}
