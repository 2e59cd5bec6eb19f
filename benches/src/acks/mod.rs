//! Chunks measured one by one, rather than whole uploads.

mod beside;
mod flow;
mod flushes;

use std::io;
use std::path::Path;
use std::time::Duration;

pub(crate) use beside::{Beside, measure as measure_beside};
pub(crate) use flow::Flow;
pub(crate) use flushes::count as count_flushes;

use crate::child::Server;
use crate::client::Lanes;
use crate::contestant::Contestant;
use crate::cpu;
use crate::measure::Bench;
use crate::place;
use crate::report;
use crate::sample::{Sample, Samples, acks_ratio, middle};
use crate::server::FILES;
use crate::table::Table;

/// Measures `flow`, and answers its table.
pub(crate) fn measure(bench: &Bench, flow: &Flow) -> io::Result<String> {
    let samples = Samples::take(flow.lineup, bench.rounds, |round, contestant| {
        report::progress(flow.name, round, bench.rounds, contestant)?;
        sample(bench, flow, contestant)
    })?;
    Ok(table(flow, &samples))
}

/// One run: a fresh server, some chunks that do not count, those that do.
fn sample(bench: &Bench, flow: &Flow, contestant: Contestant) -> io::Result<Sample> {
    let dir = bench.place.for_run()?;
    let mut server = Server::start(contestant, dir.path())?;
    bench.place.prepare(flow.total())?;
    let mut lanes = Lanes::open(contestant, flow, server.address(), &bench.payload)?;
    lanes.run(flow.warm())?;
    server.reset_peak()?;
    let (before, client_before) = (server.cpu_at_rest()?, cpu::so_far());
    let (elapsed, latencies) = lanes.run(flow.measured())?;
    let client_cpu = cpu::so_far().saturating_sub(client_before);
    let sample = Sample {
        elapsed,
        cpu: server.cpu_at_rest()?.saturating_sub(before),
        client_cpu,
        peak_rss: server.peak_rss()?,
        acks: latencies.summary(),
        durability: lanes.durability.clone(),
    };
    check(contestant, &mut lanes, dir.path())?;
    drop(server);
    dir.close()?;
    Ok(sample)
}

/// Whether a server holds what it acknowledged.
fn check(contestant: Contestant, lanes: &mut Lanes<'_>, dir: &Path) -> io::Result<()> {
    let held = match lanes.held()? {
        Some(held) => held,
        None if contestant.keeps_files() => place::files_in(&dir.join(FILES))?.1,
        None => return Ok(()),
    };
    let acknowledged = lanes.acknowledged();
    if held == acknowledged {
        return Ok(());
    }
    let name = contestant.name();
    let message = format!("{name} holds {held} bytes, and acknowledged {acknowledged}");
    Err(io::Error::other(message))
}

fn table(flow: &Flow, samples: &Samples) -> String {
    let heads = [
        "acks/s",
        "p50 ms",
        "p99 ms",
        "CPU us/ack",
        "load's",
        "x acks/s",
    ];
    let mut table = Table::new(flow.title(), &heads);
    for contestant in flow.lineup.contestants {
        let own = samples.of(*contestant);
        let of = |of: fn(&Sample) -> f64| middle(own, of);
        let values = [
            format!("{:.0}", of(|sample| sample.rate(sample.acks.count as f64))),
            millis(of(|sample| sample.acks.p50.as_secs_f64())),
            millis(of(|sample| sample.acks.p99.as_secs_f64())),
            format!("{:.1}", of(|sample| each(sample, sample.cpu))),
            format!("{:.1}", of(|sample| each(sample, sample.client_cpu))),
            format!("{:.2}", acks_ratio(own, samples.reference())),
        ];
        table.push(*contestant, samples, &values);
    }
    if let Some(goal) = &flow.lineup.goal {
        table.push_goal(goal, samples, acks_ratio);
    }
    table.into_text()
}

/// Microseconds of `cpu` for each acknowledgement.
fn each(sample: &Sample, cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1e6 / sample.acks.count as f64
}

/// Milliseconds, as a table has them.
fn millis(seconds: f64) -> String {
    format!("{:.2}", seconds * 1e3)
}
