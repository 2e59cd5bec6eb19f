//! An ordinary upload server ([`files`]) that one layer makes resumable ([`app`]).

mod app;
mod cli;
mod files;
mod health;
mod logging;
mod sign;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use steadfast::config::{Loaded, LogFormat, UploadConfig};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::cli::{Args, Command};
use crate::logging::SetLevel;

/// Threads that wait for the disk. More of them than a disk has use for only take memory.
const BLOCKING_THREADS: usize = 32;

/// What else waits for a disk must find a thread when all workers do, who take two each.
const OTHER_THREADS: usize = 16;

/// The exit status for a wrong command line (clap's own choice) or wrong settings.
const WRONG_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    let mut args = Args::parse();
    let command = args.command.take();
    let loaded = match load(&args) {
        Ok(loaded) => loaded,
        Err(problems) => {
            complain(problems);
            return ExitCode::from(WRONG_SETTINGS);
        }
    };
    if args.check_config {
        return check(&loaded);
    }
    if let Some(Command::Sign(sign)) = command {
        return print(sign.headers(&loaded.config));
    }
    let logging = &loaded.config.logging;
    let format = logging.format;
    let set_level = match logging::init(&logging.level, format) {
        Ok(set_level) => set_level,
        Err(problem) => {
            complain(problem);
            return ExitCode::FAILURE;
        }
    };
    match start(&args, loaded, set_level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            match format {
                LogFormat::Text => complain(problem),
                // Who reads JSON reads nothing else.
                LogFormat::Json => tracing::error!("{problem}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints what was made, or why it was not.
fn print(made: Result<Vec<u8>, String>) -> ExitCode {
    match made {
        Ok(text) => match io::stdout().write_all(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(problem) => {
            complain(problem);
            ExitCode::from(WRONG_SETTINGS)
        }
    }
}

/// Says what would be used, and what is wrong with it.
fn check(loaded: &Loaded) -> ExitCode {
    for notice in &loaded.notices {
        complain(notice);
    }
    match steadfast::serve::check(&loaded.config) {
        Ok(doubts) => doubts.iter().for_each(complain),
        Err(error) => {
            complain(with_causes(&error));
            return ExitCode::from(WRONG_SETTINGS);
        }
    }
    say(loaded.config.effective().trim_end());
    ExitCode::SUCCESS
}

/// Reads the settings, which may be all defaults.
fn load(args: &Args) -> Result<Loaded, String> {
    let path = args.config()?;
    UploadConfig::from_file_or_default(path).map_err(|problems| problems.to_string())
}

/// Runs the server until it is told to stop. Errors are sentences for whoever started it.
fn start(
    args: &Args,
    Loaded { config, notices }: Loaded,
    set_level: SetLevel,
) -> Result<(), String> {
    for notice in &notices {
        tracing::warn!("{notice}");
    }
    raise_file_limit();
    let blocking = BLOCKING_THREADS.max(2 * config.workers.max_workers + OTHER_THREADS);
    let runtime =
        runtime(blocking).map_err(|error| format!("cannot start the worker threads: {error}"))?;
    let file = args.config()?;
    let served = runtime.block_on(serve(config, file, set_level));
    // What still waits for a disk was told that the time is up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Lets the program open as many files as it may: a connection and an upload in use take up to three,
/// and the usual soft limit of 1024 is there for programs that use `select`.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Uploads write to the disk from the workers themselves, on all but one of them at once. One
/// worker more than there are cores keeps that from costing a core, and the rest of the application
/// answering while every such write waits for a slow disk.
fn runtime(blocking_threads: usize) -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores + 1)
        .max_blocking_threads(blocking_threads)
        .enable_all()
        .build()
}

async fn serve(config: UploadConfig, file: &Path, set_level: SetLevel) -> Result<(), String> {
    let bind = &config.server.bind;
    // Before anything touches the state directory: a second server started by mistake ends here.
    let listener = TcpListener::bind(bind)
        .await
        .map_err(|error| cannot_bind(bind, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_bind(bind, &error))?;
    let (app, driver) = app::app(config.clone())
        .await
        .map_err(|error| with_causes(&error))?;
    say(driver.summary(address).trim_end());
    let driver = driver.follow(file).on_reload(move |config| {
        if let Err(problem) = set_level(&config.logging.level) {
            tracing::warn!("{problem}");
        }
    });
    let served = steadfast::serve(listener, app, &config, driver).await;
    served.map_err(|error| format!("the server failed: {error}"))
}

fn cannot_bind(bind: &impl Display, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses that address",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
        _ => "the system refused",
    };
    format!(
        "cannot listen on {bind}: {why} ({error})\n\
         change `bind` in [server], or set STEADFAST__SERVER__BIND"
    )
}

/// An error and what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A line on stdout. Nobody reading it is no reason to stop, which `println!` would do.
fn say(text: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// A line on stderr; see [`say`].
fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
