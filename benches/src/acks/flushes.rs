use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::{Flow, check};
use crate::child::Server;
use crate::client::Lanes;
use crate::contestant::Contestant;
use crate::measure::Bench;
use crate::report;
use crate::table::Table;

/// What is counted; the last one only begins to write, and waits for nothing.
const CALLS: [&str; 4] = ["fdatasync", "fsync", "syncfs", "sync_file_range"];
/// Longest time until a server is traced.
const ATTACHED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Counts the flushes of each of `flows`, and answers the tables.
pub(crate) fn count(bench: &Bench, flows: &[Flow]) -> io::Result<String> {
    let mut text = String::new();
    for flow in flows {
        let title = format!("{}; calls for each", flow.title());
        let mut table = Table::new(title, &CALLS);
        for contestant in flow.lineup.contestants {
            report::progress(flow.name, 1, 1, *contestant)?;
            let (calls, durability) = count_one(bench, flow, *contestant)?;
            let values = calls.map(|calls| format!("{:.3}", calls as f64 / flow.acks as f64));
            let reference = flow.lineup.reference;
            table.push_for(*contestant, reference, durability.as_deref(), &values);
        }
        text.push_str(&table.into_text());
    }
    Ok(text)
}

type Counted = ([u64; CALLS.len()], Option<String>);

fn count_one(bench: &Bench, flow: &Flow, contestant: Contestant) -> io::Result<Counted> {
    let dir = bench.place.for_run()?;
    let server = Server::start(contestant, dir.path())?;
    let mut lanes = Lanes::open(contestant, flow, server.address(), &bench.payload)?;
    lanes.run(flow.warm())?;
    let summary = dir.path().join("strace.txt");
    let mut strace = trace(server.id(), &summary)?;
    let (_, latencies) = lanes.run(flow.measured())?;
    if latencies.summary().count != flow.acks {
        return Err(io::Error::other("not all chunks were acknowledged in time"));
    }
    check(contestant, &mut lanes, dir.path())?;
    // A server that ends flushes nothing; strace ends with it.
    server.finish()?;
    strace.wait()?;
    let counts = parse(&fs::read_to_string(summary)?);
    let durability = lanes.durability.clone();
    dir.close()?;
    Ok((counts, durability))
}

/// Counts the calls of all threads of `process` from now on, into the file `summary`.
fn trace(process: u32, summary: &Path) -> io::Result<Child> {
    let strace = Command::new("strace")
        .args(["-q", "-c", "-f", "-e"])
        .arg(format!("trace={}", CALLS.join(",")))
        .arg("-o")
        .arg(summary)
        .args(["-p", &process.to_string()])
        .spawn();
    let strace = strace.map_err(|error| io::Error::other(format!("strace: {error}")))?;
    let begun = Instant::now();
    while !is_traced(process)? {
        if begun.elapsed() > ATTACHED_WITHIN {
            return Err(io::Error::other("strace does not come to trace the server"));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(strace)
}

/// Whether somebody traces every thread of `process`.
fn is_traced(process: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The numbers of calls in the table of `strace -c`: `% time, seconds, usecs/call, calls, errors
/// (or nothing), syscall`.
fn parse(summary: &str) -> [u64; CALLS.len()] {
    CALLS.map(|call| {
        let lines = summary.lines().map(|line| line.split_whitespace());
        lines
            .filter(|words| words.clone().next_back() == Some(call))
            .filter_map(|mut words| words.nth(3)?.parse::<u64>().ok())
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.100000          50      2048           fdatasync
 10.00    0.010000          50        12         1 fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.110000          53      2060         1 total
";
        assert_eq!(parse(summary), [2048, 12, 0, 0]);
    }
}
