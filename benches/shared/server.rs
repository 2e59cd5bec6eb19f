//! The server, on threads of this process.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use steadfast_benches::sessions;

/// Bytes of a chunk.
pub(crate) const CHUNK: usize = 64;

/// Serves until the process ends; answers where.
pub(crate) fn start(dir: &Path, redis_url: &str) -> io::Result<SocketAddr> {
    let config = config(dir, redis_url);
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    thread::Builder::new().spawn(move || {
        let tell = |address| sender.send(Ok(address)).map_err(io::Error::other);
        let served = runtime.block_on(sessions::serve(&config, tell));
        // Whoever waits for the address hears why there is none.
        let _ = served.map_err(|error| sender.send(Err(error)));
    })?;
    receiver.recv().map_err(io::Error::other)?
}

fn config(dir: &Path, redis_url: &str) -> String {
    let state_dir = dir.join("state");
    format!(
        "[server]\nname = \"one\"\n\
         [uploads]\nstate_dir = {state_dir:?}\ndurability = \"process\"\nmin_free_space = \"0\"\n\
         min_chunk_size = \"{CHUNK}\"\n\
         [security]\nenabled = false\n\
         [sessions]\nstore = \"redis\"\nredis_url = {redis_url:?}\n"
    )
}
