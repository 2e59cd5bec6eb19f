use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::{Flow, check, millis};
use crate::child::Server;
use crate::client::{Connection, Lanes, Limit};
use crate::contestant::Contestant;
use crate::latency::Summary;
use crate::measure::Bench;
use crate::report;
use crate::sample::median;
use crate::table::Table;
use crate::workload::MIB;

/// Chunks while nothing else happens, and while the app writes a file and does not flush it.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) flow: Flow,
    /// Size of the file.
    pub(crate) mib: u64,
}

/// What one run of one contestant took.
struct Pair {
    quiet: Summary,
    beside: Summary,
    /// How long the app wrote.
    writing: Duration,
    durability: Option<String>,
}

impl Beside {
    /// How long chunks are sent, with the file and without.
    const TIME: Duration = Duration::from_secs(4);

    fn limit(&self) -> Limit {
        Limit {
            acks: self.flow.acks / 2,
            time: Self::TIME,
        }
    }
}

/// Measures it, and answers its table.
pub(crate) fn measure(bench: &Bench, beside: &Beside) -> io::Result<String> {
    let contestants = beside.flow.lineup.contestants;
    let mut runs: Vec<Vec<Pair>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 1..=bench.rounds {
        for (contestant, pairs) in contestants.iter().zip(&mut runs) {
            report::progress(beside.flow.name, round, bench.rounds, *contestant)?;
            pairs.push(pair(bench, beside, *contestant)?);
        }
    }
    Ok(table(beside, &runs))
}

fn pair(bench: &Bench, beside: &Beside, contestant: Contestant) -> io::Result<Pair> {
    let dir = bench.place.for_run()?;
    let server = Server::start(contestant, dir.path())?;
    bench
        .place
        .prepare(beside.flow.total() + beside.mib * MIB)?;
    let address = server.address();
    let mut lanes = Lanes::open(contestant, &beside.flow, address, &bench.payload)?;
    lanes.run(Limit {
        acks: beside.flow.acks / 64,
        ..beside.limit()
    })?;
    let (_, quiet) = lanes.run(beside.limit())?;
    let (writing, latencies) = thread::scope(|scope| {
        let writing = scope.spawn(|| write(address, beside.mib));
        let (_, latencies) = lanes.run(beside.limit())?;
        let panicked = |_| Err(io::Error::other("the writing thread panicked"));
        Ok::<_, io::Error>((writing.join().unwrap_or_else(panicked)?, latencies))
    })?;
    check(contestant, &mut lanes, dir.path())?;
    let durability = lanes.durability.clone();
    drop(server);
    dir.close()?;
    Ok(Pair {
        quiet: quiet.summary(),
        beside: latencies.summary(),
        writing,
        durability,
    })
}

/// Has the app write its file; answers how long that took.
fn write(address: SocketAddr, mib: u64) -> io::Result<Duration> {
    let begun = Instant::now();
    let head = format!("POST /beside/{mib} HTTP/1.1\r\n");
    Connection::open(address)?.request(&head, b"", 204)?;
    Ok(begun.elapsed())
}

fn table(beside: &Beside, runs: &[Vec<Pair>]) -> String {
    let heads = [
        "quiet p50",
        "p99 ms",
        "beside p50",
        "p99 ms",
        "max ms",
        "x p99",
        "file s",
    ];
    let flow = &beside.flow;
    let mut title = flow.title();
    title.push_str(&format!(", while the app writes {} MiB", beside.mib));
    let mut table = Table::new(title, &heads);
    for (contestant, pairs) in flow.lineup.contestants.iter().zip(runs) {
        let of =
            |of: fn(&Pair) -> Duration| median(pairs.iter().map(|pair| of(pair).as_secs_f64()));
        let slower = |pair: &Pair| pair.beside.p99.as_secs_f64() / pair.quiet.p99.as_secs_f64();
        let values = [
            millis(of(|pair| pair.quiet.p50)),
            millis(of(|pair| pair.quiet.p99)),
            millis(of(|pair| pair.beside.p50)),
            millis(of(|pair| pair.beside.p99)),
            millis(of(|pair| pair.beside.max)),
            format!("{:.2}", median(pairs.iter().map(slower))),
            format!("{:.2}", of(|pair| pair.writing)),
        ];
        let durability = pairs.first().and_then(|pair| pair.durability.as_deref());
        table.push_for(*contestant, flow.lineup.reference, durability, &values);
    }
    table.into_text()
}
