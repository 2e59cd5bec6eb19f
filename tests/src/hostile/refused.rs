//! Configurations that no server may start with.

use std::process::Command;
use std::time::Duration;

use super::Problems;
use super::case::Case;
use crate::process::Process;
use crate::server::program;
use crate::tree;

/// The exit status for a wrong configuration.
const WRONG_SETTINGS: i32 = 2;

/// How long the program may think about it.
const LIMIT: Duration = Duration::from_secs(20);

/// Asks the program to check the configuration, and to start with it.
pub(super) fn check(case: &Case) -> Problems {
    let mut problems = Vec::new();
    for arguments in [&["--check-config"][..], &[]] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("config.toml"), &case.config).expect("it is written");
        let mut command = Command::new(program());
        command.current_dir(dir.path()).env_remove("RUST_LOG");
        command.args(["--config", "config.toml"]).args(arguments);
        let mut process = Process::spawn(&mut command);
        if process.address(LIMIT).is_ok() {
            problems.push(format!("it starts {arguments:?}"));
        }
        process.kill9();
        let status = process.exited().and_then(|status| status.code());
        let said = process.raw_logs(0);
        if status != Some(WRONG_SETTINGS) {
            problems.push(format!("it ends with {status:?} {arguments:?}"));
        }
        let message = case.message.as_deref().unwrap_or_default();
        if !said.contains(message) {
            let shown: String = said.chars().take(300).collect();
            problems.push(format!("{arguments:?} says {shown:?}, not {message:?}"));
        }
        let told = case
            .absent
            .iter()
            .filter(|text| said.contains(text.as_str()));
        problems.extend(told.map(|text| format!("{text:?} is told {arguments:?}")));
        let made = tree::list(dir.path());
        if made.len() != 1 {
            problems.push(format!("it makes {made:?} {arguments:?}"));
        }
    }
    Problems {
        case: problems,
        ..Problems::default()
    }
}
