//! What sessions that are shared in Redis cost: round trips for every acknowledged chunk, and
//! memory of Redis for every session.
//!
//! ```sh
//! cargo bench -p steadfast-benches --bench shared
//! cargo bench -p steadfast-benches --bench shared -- --sessions 1000
//! ```
//!
//! A server of its own and a real Redis over loopback; all sessions stay one chunk short of their
//! end, so that Redis holds them all when it is asked.

mod client;
mod server;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use client::Client;
use steadfast_tests::http::together;
use steadfast_tests::redis::Redis;

const SESSIONS: usize = 10_000;
/// Of which all but the last are sent.
const CHUNKS: usize = 200;
const CLIENTS: usize = 16;
/// What a session may take of Redis, beside a bit for each of its chunks. Bytes.
const SESSION_BYTES_MAX: u64 = 2 << 10;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let sessions = match args.as_slice() {
        [] => Ok(SESSIONS),
        [name, count] if name == "--sessions" => count.parse().map_err(io::Error::other),
        _ => Err(io::Error::other("unknown arguments; see --sessions N")),
    };
    match sessions.and_then(measure) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "shared: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What Redis has been asked, and what it takes.
#[derive(Clone, Copy)]
struct Taken {
    /// Commands, of which every script is one; those of a script itself are not counted.
    trips: u64,
    memory: u64,
}

impl Taken {
    fn of(redis: &Redis) -> Self {
        let stats = redis
            .command(&["INFO", "commandstats"])
            .text()
            .unwrap_or_default();
        let calls = |command: &str| -> u64 {
            let line = stats.split_once(&format!("cmdstat_{command}:calls="));
            let calls = line.and_then(|(_, rest)| rest.split(',').next());
            calls.and_then(|calls| calls.parse().ok()).unwrap_or(0)
        };
        Self {
            trips: calls("evalsha") + calls("eval") + calls("zadd"),
            memory: u64::try_from(redis.info("used_memory")).unwrap_or(0),
        }
    }
}

fn measure(sessions: usize) -> io::Result<bool> {
    let redis = Redis::start(&[]);
    let dir = tempfile::tempdir()?;
    let address = server::start(dir.path(), &redis.url())?;
    let empty = Taken::of(&redis);
    let clients = CLIENTS.min(sessions);
    let ids = together(clients, |client| -> io::Result<Vec<String>> {
        let mut connection = Client::open(address)?;
        let mine = (client..sessions).step_by(clients);
        mine.map(|_| connection.create(CHUNKS)).collect()
    });
    let ids: Vec<_> = ids.into_iter().collect::<io::Result<_>>()?;
    let created = Taken::of(&redis);
    let begun = Instant::now();
    let sent = together(clients, |client| -> io::Result<u64> {
        let mut connection = Client::open(address)?;
        let mut acknowledged = 0;
        for id in &ids[client] {
            for chunk in 0..CHUNKS - 1 {
                connection.put(id, chunk)?;
                acknowledged += 1;
            }
        }
        Ok(acknowledged)
    });
    let took = begun.elapsed();
    let acknowledged: u64 = sent.into_iter().sum::<io::Result<u64>>()?;
    let sent = Taken::of(&redis);
    // A server says twice a second that it is there.
    let beats = took.as_millis() as u64 / 500 + 1;
    let trips = (sent.trips - created.trips).saturating_sub(beats);
    let per_chunk = trips as f64 / acknowledged as f64;
    let per_session = (sent.memory - empty.memory) / sessions as u64;
    let allowed = SESSION_BYTES_MAX + (CHUNKS as u64).div_ceil(8);
    say(&format!(
        "{sessions} sessions of {CHUNKS} chunks: {acknowledged} acknowledged in {took:.1?}, \
         {:.0} a second\n  {per_chunk:.4} round trips to Redis for each ({trips} in all), \
         {:.2} for a create\n  {per_session} bytes of Redis for a session; {allowed} are allowed",
        acknowledged as f64 / took.as_secs_f64(),
        (created.trips - empty.trips) as f64 / sessions as f64,
    ))?;
    Ok(per_chunk <= 1.0 && per_session <= allowed)
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
