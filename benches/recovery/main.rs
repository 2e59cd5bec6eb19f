//! What a start costs when many uploads wait: how soon the first request is answered, how long the
//! logs take to be read in the background, what that takes, and what requests notice of it.
//!
//! ```sh
//! cargo bench -p steadfast-benches --bench recovery
//! cargo bench -p steadfast-benches --bench recovery -- --sessions 10000
//! ```
//!
//! The logs are copies of one that the server wrote, under keys whose session ids are known. Each has
//! an empty file for its bytes beside it.

mod client;
mod process;
mod server;
mod state;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use process::Server;
use state::State;

const SESSIONS: usize = 100_000;
/// A start that answers later, or takes more memory, fails the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const RSS_MAX: u64 = 150 << 20;
/// Between two requests while the logs are read.
const ASK_EVERY: Duration = Duration::from_millis(2);

fn main() -> ExitCode {
    let result = run(std::env::args().skip(1).filter(|arg| arg != "--bench"));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "recovery: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> io::Result<bool> {
    let (arg, value) = (args.next(), args.next());
    match (arg.as_deref(), value) {
        (None, _) => measure(SESSIONS),
        (Some("--serve"), Some(dir)) => server::serve(Path::new(&dir)).map(|()| true),
        (Some("--sessions"), Some(count)) => measure(count.parse().map_err(io::Error::other)?),
        _ => Err(io::Error::other("unknown arguments; see --sessions N")),
    }
}

fn measure(sessions: usize) -> io::Result<bool> {
    let dir = tempfile::Builder::new()
        .prefix("recovery-")
        .tempdir_in(parent()?)?;
    let state = State::make(dir.path(), sessions)?;
    say(&format!(
        "{sessions} unfinished uploads, logs of {} bytes",
        state.log_bytes
    ))?;
    let mut passed = true;
    for round in ["files just written", "again"] {
        passed &= start(round, &state)?;
    }
    Ok(passed)
}

/// Starts a server over `state` and watches it until it has read everything.
fn start(round: &str, state: &State) -> io::Result<bool> {
    let begun = Instant::now();
    let server = Server::start(&state.dir)?;
    client::status(server.address, &state.ids[0])?;
    let first = begun.elapsed();
    let mut latencies = Vec::new();
    let mut next = 0;
    let mut quiet = server.until_quiet(begun);
    while !quiet.is_over(&server)? {
        next = (next + 7919) % state.ids.len();
        let asked = Instant::now();
        client::status(server.address, &state.ids[next])?;
        latencies.push(asked.elapsed());
        std::thread::sleep(ASK_EVERY);
    }
    let (took, cpu) = (quiet.ended - begun, quiet.cpu);
    let peak = server.memory("VmHWM:")?;
    // As many uploads as there may be: all of them were counted.
    let counted = client::create(server.address)? == 429;
    latencies.sort();
    let part = |n: usize| latencies[latencies.len() * n / 1_000];
    say(&format!(
        "{round}: first answer after {first:.1?}, all read after {took:.1?} with {cpu:.1?} of a \
         processor, all counted: {counted}\n  \
         memory: {} MiB at most, {} MiB after; {} status requests meanwhile: median {:.2?}, \
         99 % {:.2?}, longest {:.2?}",
        peak >> 20,
        server.memory("VmRSS:")? >> 20,
        latencies.len(),
        part(500),
        part(990),
        part(999),
    ))?;
    Ok(first <= ANSWER_WITHIN && peak <= RSS_MAX && counted)
}

/// Where the benchmarks write: as `loopback` does.
fn parent() -> io::Result<PathBuf> {
    let dir = match std::env::var_os("STEADFAST_BENCH_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let program = std::env::current_exe()?;
            let dir = program.parent().map(|dir| dir.join("bench-data"));
            dir.ok_or_else(|| io::Error::other("the program is in no directory"))?
        }
    };
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
