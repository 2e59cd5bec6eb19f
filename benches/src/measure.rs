use std::io;
use std::path::Path;

use crate::args::Plan;
use crate::child::Server;
use crate::client::{self, Payload};
use crate::contestant::Contestant;
use crate::place::{self, Place};
use crate::report;
use crate::sample::Sample;
use crate::server::FILES;
use crate::workload::Workload;

/// The samples of one workload: for each contestant one of each round.
pub(crate) type Samples = [Vec<Sample>; Contestant::ALL.len()];

/// Measures what `plan` asks for, and prints a table for each workload.
pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    let (place, payload) = (Place::new()?, Payload::new());
    report::say(report::preface(plan, place.path()))?;
    for workload in &plan.workloads {
        let mut samples = Samples::default();
        for round in 1..=plan.rounds {
            for (contestant, samples) in Contestant::ALL.into_iter().zip(&mut samples) {
                report::progress(workload, round, plan.rounds, contestant)?;
                samples.push(sample(contestant, workload, &place, &payload)?);
            }
        }
        report::say(report::table(workload, &samples))?;
    }
    Ok(())
}

/// One run: a fresh server, all uploads, and a look at what it kept.
fn sample(
    contestant: Contestant,
    workload: &Workload,
    place: &Place,
    payload: &Payload,
) -> io::Result<Sample> {
    let dir = place.for_run()?;
    let mut server = Server::start(contestant, dir.path())?;
    place.touch(workload.total())?;
    server.reset_peak()?;
    let before = server.cpu_at_rest()?;
    let elapsed = client::drive(contestant, workload, server.address(), payload)?;
    let sample = Sample {
        elapsed,
        cpu: server.cpu_at_rest()?.saturating_sub(before),
        peak_rss: server.peak_rss()?,
    };
    drop(server);
    check_files(contestant, workload, &dir.path().join(FILES))?;
    dir.close()?;
    Ok(sample)
}

/// A fast server that loses bytes wins nothing.
fn check_files(contestant: Contestant, workload: &Workload, dir: &Path) -> io::Result<()> {
    let expected = match contestant.keeps_files() {
        true => (workload.count(), workload.total()),
        false => (0, 0),
    };
    let kept = place::files_in(dir)?;
    if kept == expected {
        return Ok(());
    }
    let name = contestant.name();
    let message = format!("{name} kept (files, bytes) {kept:?}, not {expected:?}");
    Err(io::Error::other(message))
}
