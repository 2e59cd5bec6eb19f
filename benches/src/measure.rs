use std::io;
use std::path::Path;

use crate::acks;
use crate::args::Plan;
use crate::child::Server;
use crate::client::{self, Payload};
use crate::contestant::Contestant;
use crate::cpu;
use crate::job::Job;
use crate::latency::Summary;
use crate::place::{self, Place};
use crate::report;
use crate::sample::{Sample, Samples};
use crate::server::FILES;
use crate::workload::Workload;

/// Where and how a measurement is taken.
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) payload: Payload,
    pub(crate) rounds: usize,
}

/// Measures what `plan` asks for, and prints a table for each job.
pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    let bench = Bench {
        place: Place::new(plan.dir.as_deref())?,
        payload: Payload::new(),
        rounds: plan.rounds,
    };
    report::say(report::preface(plan, bench.place.path())?)?;
    for job in &plan.jobs {
        let table = match job {
            Job::Uploads(workload) => bench.uploads(workload)?,
            Job::Acks(flow) => acks::measure(&bench, flow)?,
            Job::Beside(beside) => acks::measure_beside(&bench, beside)?,
            Job::Flushes(flows) => acks::count_flushes(&bench, flows)?,
        };
        report::say(table)?;
    }
    Ok(())
}

impl Bench {
    fn uploads(&self, workload: &Workload) -> io::Result<String> {
        let samples = Samples::take(workload.lineup, self.rounds, |round, contestant| {
            report::progress(workload.name, round, self.rounds, contestant)?;
            self.sample(contestant, workload)
        })?;
        Ok(report::table(workload, &samples))
    }

    /// One run: a fresh server, all uploads, and a look at what it kept.
    fn sample(&self, contestant: Contestant, workload: &Workload) -> io::Result<Sample> {
        let dir = self.place.for_run()?;
        let mut server = Server::start(contestant, dir.path())?;
        self.place.prepare(workload.total())?;
        server.reset_peak()?;
        let (before, client_before) = (server.cpu_at_rest()?, cpu::so_far());
        let (elapsed, durability) =
            client::drive(contestant, workload, server.address(), &self.payload)?;
        let client_cpu = cpu::so_far().saturating_sub(client_before);
        let sample = Sample {
            elapsed,
            cpu: server.cpu_at_rest()?.saturating_sub(before),
            client_cpu,
            peak_rss: server.peak_rss()?,
            acks: Summary::default(),
            durability,
        };
        drop(server);
        check_files(contestant, workload, &dir.path().join(FILES))?;
        dir.close()?;
        Ok(sample)
    }
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
