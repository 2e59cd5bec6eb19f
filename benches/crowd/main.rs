//! What slow clients cost: the speed of a fast upload beside 2,000 that send 4 KiB a second, and
//! the server's memory; how soon 5,000 connections are gone that never end their head; and the
//! same beside 10,000 idle connections and 10,000 that never end their head.
//!
//! ```sh
//! cargo bench -p steadfast-benches --bench crowd
//! TMPDIR=/mnt/disk cargo bench -p steadfast-benches --bench crowd -- --rounds 3
//! ```
//!
//! The example server, in a process of its own. Of each round one half is the fast upload alone.

mod fast;
mod idle;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_benches::median;
use steadfast_tests::config::Config;
use steadfast_tests::crowd::{Crowd, half_heads, raise_file_limit};
use steadfast_tests::server::Server;
use steadfast_tests::upload::Client;

const ROUNDS: usize = 5;
const SLOW: usize = 2_000;
/// Bytes that each sends in [`TURN`].
const SENT: usize = 4 << 10;
const TURN: Duration = Duration::from_secs(1);
/// So many that no slow client comes to its end, and all rounds find room.
const SLOW_LEN: usize = 256 << 10;
const HEADS: usize = 5_000;

/// What must hold.
const SPEED_MIN: f64 = 0.8;
const SLOW_RSS_MAX: u64 = 300 << 20;
const HEADS_RSS_MAX: u64 = 200 << 20;
/// The header timeout and a second.
const HEADS_GONE_AFTER: Duration = Duration::from_secs(11);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let done = match &args[..] {
        [hold, kind, count, addr] if hold == idle::HOLD => held(kind, count, addr),
        _ => rounds(args.into_iter()).and_then(measure),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "crowd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Is the clients that [`idle`] asks for.
fn held(kind: &str, count: &str, addr: &str) -> io::Result<bool> {
    let count = count.parse().map_err(io::Error::other)?;
    let addr = addr.parse().map_err(io::Error::other)?;
    idle::hold(kind, count, addr).map(|()| true)
}

fn rounds(mut args: impl Iterator<Item = String>) -> io::Result<usize> {
    match (args.next().as_deref(), args.next()) {
        (None, _) => Ok(ROUNDS),
        (Some("--rounds"), Some(count)) => count.parse().map_err(io::Error::other),
        _ => Err(io::Error::other("unknown arguments; see --rounds N")),
    }
}

fn measure(rounds: usize) -> io::Result<bool> {
    raise_file_limit()?;
    let mut passed = true;
    for durability in ["power", "process"] {
        passed &= beside(durability, rounds)?;
    }
    passed &= heads()?;
    Ok(passed & idle::measure(rounds)?)
}

/// A fast upload alone and in a crowd, in turns.
fn beside(durability: &str, rounds: usize) -> io::Result<bool> {
    let server = server(durability);
    let idle = server.memory("VmRSS");
    // The first one makes everything warm.
    fast::upload(server.client())?;
    let (mut alone, mut crowded) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(fast::upload(server.client())?);
        let files = server.open_files();
        crowded.push(in_a_crowd(server.client())?);
        until_gone(&server, files);
    }
    let rounds = alone.iter().zip(&crowded);
    let ratio = median(rounds.map(|(alone, crowded)| crowded / alone));
    let peak = server.memory("VmHWM");
    let (alone, crowded) = (median(alone.into_iter()), median(crowded.into_iter()));
    say(&format!(
        "durability {durability:?}: alone {alone:.0} MiB/s, beside {SLOW} clients at 4 KiB/s \
         {crowded:.0} MiB/s\n  {ratio:.2} of the speed (at least {SPEED_MIN}), \
         peak {:.0} MiB (at most {:.0}), idle {:.0} MiB",
        mib(peak),
        mib(SLOW_RSS_MAX),
        mib(idle),
    ))?;
    Ok(ratio >= SPEED_MIN && peak <= SLOW_RSS_MAX)
}

/// The speed of an upload beside slow ones, in MiB/s.
fn in_a_crowd(client: Client) -> io::Result<f64> {
    let mut crowd = Crowd::open(client, SLOW, SLOW_LEN)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let turn = Instant::now();
                crowd.send(SENT)?;
                thread::sleep(TURN.saturating_sub(turn.elapsed()));
            }
            Ok(())
        });
        let speed = fast::upload(client);
        is_over.store(true, Ordering::Relaxed);
        let slow = slow.join();
        slow.unwrap_or_else(|_| Err(io::Error::other("the crowd panicked")))?;
        speed
    })
}

/// Waits until the server has hardly more than `files` open; answers how long that took.
fn until_gone(server: &Server, files: usize) -> Duration {
    let begun = Instant::now();
    while server.open_files() > files + 50 && begun.elapsed() < 2 * HEADS_GONE_AFTER {
        thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

/// Connections that never end their head.
fn heads() -> io::Result<bool> {
    let server = server("power");
    let (idle, files) = (server.memory("VmRSS"), server.open_files());
    let begun = Instant::now();
    let connections = half_heads(server.client(), HEADS)?;
    let opened = begun.elapsed();
    let took = until_gone(&server, files);
    drop(connections);
    let peak = server.memory("VmHWM");
    say(&format!(
        "{HEADS} unfinished heads, opened within {:.1?}: gone {took:.1?} after the last one \
         (at most {HEADS_GONE_AFTER:?}), peak {:.0} MiB (at most {:.0}), idle {:.0} MiB",
        opened,
        mib(peak),
        mib(HEADS_RSS_MAX),
        mib(idle),
    ))?;
    Ok(took <= HEADS_GONE_AFTER && peak <= HEADS_RSS_MAX)
}

fn server(durability: &str) -> Server {
    let extra = format!(
        "[server]\nmax_connections = 8192\n\
         [uploads]\ndurability = {durability:?}\nchunk_size = \"5MB\"\n\
         [timeouts]\nheader_timeout = \"10s\"\n\
         [logging]\nlevel = \"warn\"\n"
    );
    Server::with(&Config::with(&extra))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
