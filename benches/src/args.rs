use std::io;
use std::path::PathBuf;

use crate::contestant::Contestant;
use crate::job::{self, Job, Scale};

pub(crate) const HELP: &str = "\
Measures upload servers side by side.

  --rounds N     runs per contestant and workload (5; with --quick 3)
  --quick        a quarter of the bytes
  --dir PATH     the directory to write to, to be on the filesystem in question
  --only NAME    one workload; may be repeated. Nobody flushes:
                   one            one upload
                   eight          eight at once
                   small          many small ones
                 Nothing is acknowledged before it is flushed:
                   power-one      one upload
                   power-small    chunks of 64 KiB over 64 connections
                 Not done unless it is named:
                   process-small  power-small, but nobody flushes
                   power-beside   chunks while the app writes a large file
                   power-flushes  flushes for each chunk, counted with strace

STEADFAST_BENCH_DIR names the directory as well.
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
    pub(crate) jobs: Vec<Job>,
    pub(crate) rounds: usize,
    pub(crate) dir: Option<PathBuf>,
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> io::Result<Command> {
    let (mut rounds, mut is_quick, mut only) = (None, false, Vec::new());
    let mut dir = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Cargo's own, for every benchmark.
            "--bench" => {}
            "--help" | "-h" => return Ok(Command::Help),
            "--quick" => is_quick = true,
            "--rounds" => rounds = Some(count(&value(&arg, &mut args)?)?),
            "--dir" => dir = Some(value(&arg, &mut args)?.into()),
            "--only" => only.push(value(&arg, &mut args)?),
            "--serve" => return serve(&arg, &mut args),
            _ => return Err(wrong(format!("unknown argument {arg}, see --help"))),
        }
    }
    let scale = if is_quick { Scale::Quick } else { Scale::Full };
    Ok(Command::Measure(Plan {
        jobs: chosen(job::all(scale), &only)?,
        rounds: rounds.unwrap_or(if is_quick { 3 } else { 5 }),
        dir,
    }))
}

fn serve(arg: &str, args: &mut impl Iterator<Item = String>) -> io::Result<Command> {
    let name = value(arg, args)?;
    let contestant =
        Contestant::named(&name).ok_or_else(|| wrong(format!("there is no contestant {name}")))?;
    let dir = PathBuf::from(value(arg, args)?);
    Ok(Command::Serve { contestant, dir })
}

fn chosen(mut jobs: Vec<Job>, only: &[String]) -> io::Result<Vec<Job>> {
    let is_known = |name: &String| jobs.iter().any(|job| job.name() == name);
    if let Some(name) = only.iter().find(|name| !is_known(name)) {
        return Err(wrong(format!("there is no workload {name}")));
    }
    jobs.retain(|job| match only.is_empty() {
        true => !job.is_special(),
        false => only.iter().any(|name| name == job.name()),
    });
    Ok(jobs)
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
