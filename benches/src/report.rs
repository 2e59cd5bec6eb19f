use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use crate::args::Plan;
use crate::contestant::Contestant;
use crate::filesystem;
use crate::sample::{Samples, cpu_ratio, middle, speed_ratio};
use crate::server::worker_threads;
use crate::table::Table;
use crate::workload::{MIB, Unit, Workload};

/// A text on standard output.
pub(crate) fn say(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// What is being measured just now, where somebody is watching.
pub(crate) fn progress(
    name: &str,
    round: usize,
    rounds: usize,
    contestant: Contestant,
) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    if !stderr.is_terminal() {
        return Ok(());
    }
    let contestant = contestant.name();
    write!(stderr, "\r\x1b[K{name} {round}/{rounds} {contestant}\r")
}

/// Under which conditions the figures came about.
pub(crate) fn preface(plan: &Plan, dir: &Path) -> io::Result<String> {
    let (rounds, filesystem) = (plan.rounds, filesystem::describe(dir)?);
    let (workers, dir) = (worker_threads(), dir.display());
    Ok(format!(
        "Loopback, everything through axum::serve, {workers} worker threads (cores + 1) for every contestant.\n\
         Nobody checks signatures. Files in {dir}\n\
         on {filesystem}.\n\
         Medians of {rounds} rounds in turn; ratios to the contestant marked *, taken within a round.\n"
    ))
}

/// The table of a workload, and whether its goals are met.
pub(crate) fn table(workload: &Workload, samples: &Samples) -> String {
    let (rate, cost) = match workload.unit {
        Unit::Bytes => ("MiB/s", "CPU s/GiB"),
        Unit::Uploads => ("uploads/s", "CPU ms each"),
    };
    let mut table = Table::new(
        workload.title(),
        &[rate, cost, "peak RSS MiB", "x speed", "x CPU"],
    );
    for contestant in workload.lineup.contestants {
        table.push(*contestant, samples, &row(workload, *contestant, samples));
    }
    if workload.unit == Unit::Bytes
        && let Some(goal) = &workload.lineup.goal
    {
        table.push_goal(goal, samples, speed_ratio);
    }
    table.into_text()
}

fn row(workload: &Workload, contestant: Contestant, samples: &Samples) -> [String; 5] {
    let (own, reference) = (samples.of(contestant), samples.reference());
    let mib = workload.total() as f64 / MIB as f64;
    let (amount, per) = match workload.unit {
        Unit::Bytes => (mib, mib / 1024.0),
        Unit::Uploads => (workload.count() as f64, workload.count() as f64 / 1000.0),
    };
    [
        format!("{:.0}", middle(own, |sample| sample.rate(amount))),
        format!("{:.3}", middle(own, |sample| sample.cost(per))),
        format!(
            "{:.1}",
            middle(own, |sample| sample.peak_rss as f64) / MIB as f64
        ),
        format!("{:.2}", speed_ratio(own, reference)),
        format!("{:.2}", cpu_ratio(own, reference)),
    ]
}
