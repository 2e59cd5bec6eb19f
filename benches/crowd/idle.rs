//! Connections that do nothing, in processes of their own: they need as many open files as the
//! server does.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_benches::median;
use steadfast_tests::config::Config;
use steadfast_tests::crowd::{half_heads, raise_file_limit};
use steadfast_tests::http::{Connection, Request};
use steadfast_tests::server::Server;
use steadfast_tests::upload::Client;

use crate::{SPEED_MIN, fast, mib, say};

/// Connections of each kind, where a process may have so many files.
const EACH: usize = 10_000;
/// What the server opens besides.
const OTHER_FILES: usize = 100;
/// Clients of each kind.
const PROCESSES: usize = 2;
/// Longer than it takes to open them and to send the fast upload.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The timeout and a second, and what the last of them needed to be opened.
const LATE_MAX: Duration = Duration::from_secs(2);

const RSS_MAX: u64 = 400 << 20;

/// How a process is told to be such clients: `--hold KIND COUNT ADDRESS`.
pub(crate) const HOLD: &str = "--hold";

/// Processes with connections that they keep open.
struct Held(Vec<Child>);

impl Held {
    fn start(kind: &str, count: usize, addr: SocketAddr) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let each = (count / PROCESSES).to_string();
        let spawn = |_| {
            Command::new(&program)
                .args([HOLD, kind, &each, &addr.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        };
        (0..PROCESSES)
            .map(spawn)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Waits until all are open.
    fn until_open(&mut self) -> io::Result<()> {
        for child in &mut self.0 {
            let output = child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line)?;
            if line.trim() != "open" {
                return Err(io::Error::other("the connections were not opened"));
            }
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Opens connections, says so, and keeps them until standard input ends.
pub(crate) fn hold(kind: &str, count: usize, addr: SocketAddr) -> io::Result<()> {
    raise_file_limit()?;
    let client = Client::new(addr);
    let open = || match kind {
        "heads" => half_heads(client, count),
        _ => (0..count).map(|_| idle(addr)).collect(),
    };
    let connections = open()?;
    say("open")?;
    let _ = io::stdin().read(&mut [0])?;
    drop(connections);
    Ok(())
}

/// A connection that has had one answer, and asks nothing more.
fn idle(addr: SocketAddr) -> io::Result<Connection> {
    let mut connection = Connection::try_open(addr)?;
    let answer = connection.exchange(&Request::new("GET", "/health"))?;
    match answer.status {
        200 => Ok(connection),
        status => Err(io::Error::other(format!("an answer of {status}"))),
    }
}

/// A fast upload alone, and beside connections that do nothing, until those are closed.
pub(crate) fn measure(rounds: usize) -> io::Result<bool> {
    let timeout = TIMEOUT.as_secs();
    let extra = format!(
        "[server]\nmax_connections = 30000\n[uploads]\nchunk_size = \"5MB\"\n\
         [timeouts]\nheader_timeout = \"{timeout}s\"\nidletimeout = \"{timeout}s\"\n\
         [logging]\nlevel = \"warn\"\n"
    );
    let server = Server::with(&Config::with(&extra));
    fast::upload(server.client())?;
    let alone = (0..rounds).map(|_| fast::upload(server.client()));
    let alone = alone.collect::<io::Result<Vec<_>>>()?;
    let files = server.open_files();
    let most = EACH.min((raise_file_limit()? - OTHER_FILES) / 2);
    let count = most / PROCESSES * PROCESSES;
    let mut kinds = vec![
        Held::start("idle", count, server.addr())?,
        Held::start("heads", count, server.addr())?,
    ];
    for held in &mut kinds {
        held.until_open()?;
    }
    let opened = Instant::now();
    let connections = server.open_files() - files;
    let crowded = (0..rounds).map(|_| fast::upload(server.client()));
    let crowded = crowded.collect::<io::Result<Vec<_>>>()?;
    let still = server.open_files() - files;
    let rss = server.memory("VmHWM");
    while server.open_files() > files + 50 && opened.elapsed() < 2 * TIMEOUT {
        thread::sleep(Duration::from_millis(20));
    }
    let took = opened.elapsed();
    let (alone, crowded) = (median(alone.into_iter()), median(crowded.into_iter()));
    let ratio = crowded / alone;
    say(&format!(
        "{connections} connections that do nothing ({still} of them to the end, {EACH} of each kind \
         if there may be so many files): a fast upload \
         {crowded:.0} MiB/s, alone {alone:.0}\n  {ratio:.2} of the speed (at least {SPEED_MIN}), \
         peak {:.0} MiB (at most {:.0}); all gone {took:.1?} after the last one was opened \
         (timeouts {timeout} s)",
        mib(rss),
        mib(RSS_MAX),
    ))?;
    let is_whole = connections >= 2 * count && still >= 2 * count;
    Ok(is_whole && ratio >= SPEED_MIN && rss <= RSS_MAX && took <= TIMEOUT + LATE_MAX)
}
