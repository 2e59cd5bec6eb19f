use std::io;
use std::path::PathBuf;

use crate::contestant::Contestant;
use crate::workload::{Workload, full, quick};

pub(crate) const HELP: &str = "\
Measures upload servers side by side.

  --rounds N     runs per contestant and workload (5; with --quick 3)
  --quick        a quarter of the bytes
  --only NAME    one workload: one, eight or small; may be repeated

STEADFAST_BENCH_DIR names the directory to write to.
";

/// Most rounds: a benchmark ends some day.
const ROUNDS_MAX: usize = 1_000;

/// What the program is asked to do.
pub(crate) enum Command {
    /// Be a server.
    Serve {
        contestant: Contestant,
        dir: PathBuf,
    },
    /// Measure all servers.
    Measure(Plan),
    /// Say what there is to say.
    Help,
}

/// What is measured, and how often.
pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) rounds: usize,
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> io::Result<Command> {
    let (mut rounds, mut is_quick, mut only) = (None, false, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Cargo's own, for every benchmark.
            "--bench" => {}
            "--help" | "-h" => return Ok(Command::Help),
            "--quick" => is_quick = true,
            "--rounds" => rounds = Some(count(&value(&arg, &mut args)?)?),
            "--only" => only.push(value(&arg, &mut args)?),
            "--serve" => return serve(&arg, &mut args),
            _ => return Err(wrong(format!("unknown argument {arg}, see --help"))),
        }
    }
    let all = if is_quick { quick() } else { full() };
    Ok(Command::Measure(Plan {
        workloads: chosen(all.to_vec(), &only)?,
        rounds: rounds.unwrap_or(if is_quick { 3 } else { 5 }),
    }))
}

fn serve(arg: &str, args: &mut impl Iterator<Item = String>) -> io::Result<Command> {
    let name = value(arg, args)?;
    let contestant =
        Contestant::named(&name).ok_or_else(|| wrong(format!("there is no contestant {name}")))?;
    let dir = PathBuf::from(value(arg, args)?);
    Ok(Command::Serve { contestant, dir })
}

fn chosen(mut workloads: Vec<Workload>, only: &[String]) -> io::Result<Vec<Workload>> {
    let is_known = |name: &String| workloads.iter().any(|workload| workload.name == name);
    if let Some(name) = only.iter().find(|name| !is_known(name)) {
        return Err(wrong(format!("there is no workload {name}")));
    }
    workloads.retain(|workload| only.is_empty() || only.iter().any(|name| name == workload.name));
    Ok(workloads)
}

fn value(arg: &str, args: &mut impl Iterator<Item = String>) -> io::Result<String> {
    args.next()
        .ok_or_else(|| wrong(format!("{arg} needs a value")))
}

fn count(text: &str) -> io::Result<usize> {
    match text.parse() {
        Ok(count) if (1..=ROUNDS_MAX).contains(&count) => Ok(count),
        _ => Err(wrong(format!("--rounds {text}: not in 1..={ROUNDS_MAX}"))),
    }
}

fn wrong(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
