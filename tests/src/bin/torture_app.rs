//! The app that the torture bench drives where the handler's calls are counted.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use steadfast_tests::torture::app;

fn main() -> ExitCode {
    // As the example server: `--config PATH`.
    let Some(config) = std::env::args_os().nth(2).map(PathBuf::from) else {
        let _ = writeln!(std::io::stderr(), "usage: torture_app --config PATH");
        return ExitCode::from(2);
    };
    match app::serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
