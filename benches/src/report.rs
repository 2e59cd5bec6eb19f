use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use crate::args::Plan;
use crate::contestant::Contestant;
use crate::measure::Samples;
use crate::sample::{Sample, cpu_ratio, median, speed_ratio};
use crate::server::worker_threads;
use crate::workload::{MIB, Unit, Workload};

/// Store mode is to be at least this fast, beside a bare server that writes.
const SPEED_GOAL: f64 = 0.85;
/// And to take at most this much processor time.
const CPU_GOAL: f64 = 1.25;

/// A text on standard output.
pub(crate) fn say(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// What is being measured just now, where somebody is watching.
pub(crate) fn progress(
    workload: &Workload,
    round: usize,
    rounds: usize,
    contestant: Contestant,
) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    if !stderr.is_terminal() {
        return Ok(());
    }
    let (name, contestant) = (workload.name, contestant.name());
    write!(stderr, "\r\x1b[K{name} {round}/{rounds} {contestant}\r")
}

/// Under which conditions the figures came about.
pub(crate) fn preface(plan: &Plan, dir: &Path) -> String {
    let (rounds, dir) = (plan.rounds, dir.display());
    let workers = worker_threads();
    format!(
        "Loopback, everything through axum::serve, {workers} worker threads (cores + 1) for every contestant.\n\
         Nobody flushes (durability = \"process\") or checks signatures. Files in {dir}\n\
         Medians of {rounds} rounds in turn; ratios to \"{}\", taken within a round.\n",
        Contestant::REFERENCE.title()
    )
}

/// The table of a workload, and whether its goals are met.
pub(crate) fn table(workload: &Workload, samples: &Samples) -> String {
    let (rate, cost) = match workload.unit {
        Unit::Bytes => ("MiB/s", "CPU s/GiB"),
        Unit::Uploads => ("uploads/s", "CPU ms each"),
    };
    let mut text = format!("\n{}\n\n", workload.title());
    let heads = [rate, cost, "peak RSS MiB", "x speed", "x CPU"];
    push_row(&mut text, "contestant", heads.map(str::to_owned));
    for contestant in Contestant::ALL {
        push_row(
            &mut text,
            contestant.title(),
            row(workload, contestant, samples),
        );
    }
    if workload.unit == Unit::Bytes {
        push_goals(&mut text, samples);
    }
    text
}

fn push_row(text: &mut String, title: &str, values: [String; 5]) {
    let [rate, cost, rss, speed, cpu] = values;
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "  {title:<26}{rate:>10}{cost:>13}{rss:>14}{speed:>9}{cpu:>8}"
    );
}

fn row(workload: &Workload, contestant: Contestant, samples: &Samples) -> [String; 5] {
    let (own, reference) = (of(samples, contestant), of(samples, Contestant::REFERENCE));
    let (mib, uploads) = (
        workload.total() as f64 / MIB as f64,
        workload.count() as f64,
    );
    let rss = median(own.iter().map(|sample| sample.peak_rss as f64 / MIB as f64));
    let (rate, cost) = match workload.unit {
        Unit::Bytes => (
            median(own.iter().map(|sample| sample.rate(mib))),
            median(own.iter().map(|sample| sample.cost(mib / 1024.0))),
        ),
        Unit::Uploads => (
            median(own.iter().map(|sample| sample.rate(uploads))),
            median(own.iter().map(|sample| sample.cost(uploads / 1000.0))),
        ),
    };
    [
        format!("{rate:.0}"),
        format!("{cost:.3}"),
        format!("{rss:.1}"),
        format!("{:.2}", speed_ratio(own, reference)),
        format!("{:.2}", cpu_ratio(own, reference)),
    ]
}

fn push_goals(text: &mut String, samples: &Samples) {
    let (own, reference) = (
        of(samples, Contestant::Store),
        of(samples, Contestant::REFERENCE),
    );
    let (speed, cpu) = (speed_ratio(own, reference), cpu_ratio(own, reference));
    let verdict = |is_met| if is_met { "met" } else { "missed" };
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "\n  goal: store mode at least {SPEED_GOAL} x the speed of inline write: {speed:.2}, {}\n  \
           goal: store mode at most {CPU_GOAL} x its processor time: {cpu:.2}, {}",
        verdict(speed >= SPEED_GOAL),
        verdict(cpu <= CPU_GOAL),
    );
}

fn of(samples: &Samples, contestant: Contestant) -> &[Sample] {
    let position = Contestant::ALL
        .iter()
        .position(|other| *other == contestant);
    position.map_or(&[], |position| &samples[position])
}
