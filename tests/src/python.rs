//! Python with the packages that tests use, in an environment of its own below `target`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What is installed, in the versions that were tried.
const PACKAGES: &[&str] = &["http-message-signatures==3.0.0"];

/// The interpreter of an environment in `parent`, which is made once.
///
/// # Errors
/// A sentence that says why there is none.
pub fn usable(parent: &Path) -> Result<PathBuf, String> {
    let dir = parent.join("python");
    let (python, done) = (dir.join("bin/python3"), dir.join(PACKAGES.join(" ")));
    if done.exists() {
        return Ok(python);
    }
    // An earlier one may be half of one.
    let _ = std::fs::remove_dir_all(&dir);
    run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(PACKAGES))?;
    std::fs::write(&done, "").map_err(|error| error.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or_default();
            Err(format!("{command:?}: {last}"))
        }
    }
}

/// What a script of `tests/python` answers to `question`.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn ask(python: &Path, script: &str, question: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("python")
        .join(script);
    let child = Command::new(python)
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("Python runs");
    let mut input = child.stdin.take().expect("its input");
    input
        .write_all(question.to_string().as_bytes())
        .expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", script.display());
    serde_json::from_slice(&output.stdout).expect("it answers JSON")
}
