//! The server, in a process of its own.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::thread;

use steadfast_benches::sessions;

/// The configuration, in the directory of the server.
pub(crate) const CONFIG: &str = "config.toml";

/// Serves until standard input ends; tells the port on standard output.
pub(crate) fn serve(dir: &Path) -> io::Result<()> {
    thread::Builder::new().spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    })?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores + 1)
        .enable_all()
        .build()?;
    let config = fs::read_to_string(dir.join(CONFIG))?;
    runtime.block_on(sessions::serve(&config, |address| {
        let mut out = io::stdout();
        writeln!(out, "{}", address.port())?;
        out.flush()
    }))
}
