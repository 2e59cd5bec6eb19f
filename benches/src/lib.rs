//! The benchmark `loopback`: MiB/s, acknowledgements per second and how long each takes, processor
//! time and memory of several upload servers, measured side by side in one run.
//!
//! 1. A server is a child process, this program again with `--serve`, so that processor time and
//!    memory are its own. It ends when its standard input does, whatever becomes of its parent.
//! 2. The load comes from this process: blocking sockets, hand-written HTTP/1.1, one shared buffer
//!    of random bytes. It shares the cores with the server, so it does as little as it can.
//! 3. Contestants take turns, round by round, and ratios are taken within a round: a machine that
//!    gets slower in the meantime slows all of them.
//! 4. Before a run as much page cache as it will fill is touched and freed. The host of a virtual
//!    machine takes freed memory back, and whoever touches it first again pays for it.
//!    What the run before left dirty is written first.
//! 5. What a server says of its durability stands beside its figures. Flushes are counted in runs of
//!    their own, because the tracing that counts them costs more than they do.
//!
//! `--dir` or `STEADFAST_BENCH_DIR` names the directory the servers write to; without it, it is one
//! beside the program. It should be on a real filesystem.

mod acks;
mod args;
mod child;
mod client;
mod contestant;
mod cpu;
mod filesystem;
mod job;
mod latency;
mod lineup;
mod measure;
mod place;
mod report;
mod sample;
mod server;
pub mod sessions;
mod table;
mod workload;

use std::io;

use args::Command;
pub use sample::median;

/// Measures, or serves where `args` (without the program's name) ask for that.
///
/// # Errors
/// A wrong argument, or why a measurement could not be taken.
pub fn run(args: impl Iterator<Item = String>) -> io::Result<()> {
    match args::parse(args)? {
        Command::Serve { contestant, dir } => server::serve(contestant, &dir),
        Command::Measure(plan) => measure::measure(&plan),
        Command::Help => report::say(args::HELP),
    }
}
