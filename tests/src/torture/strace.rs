//! System calls that fail on demand: the server runs under strace, which injects errors.
//!
//! The call itself is not made then. strace counts per thread: `when=3` is the third call of
//! every thread.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What fails, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// The system calls, separated by commas.
    pub calls: &'static str,
    /// The error.
    pub error: &'static str,
    /// The first call of each thread that fails.
    pub when: usize,
    /// Whether all later ones fail too.
    pub sticky: bool,
}

impl Injection {
    /// The arguments of strace, which writes what it sees to `trace`.
    #[must_use]
    pub fn command(&self, trace: &Path) -> Vec<PathBuf> {
        let Self {
            calls, error, when, ..
        } = self;
        let plus = if self.sticky { "+" } else { "" };
        let mut command: Vec<PathBuf> = ["strace", "-f", "-qq", "-ttt", "-e", "signal=none"]
            .map(PathBuf::from)
            .into();
        command.push("-e".into());
        command.push(format!("trace={calls}").into());
        command.push("-e".into());
        command.push(format!("inject={calls}:error={error}:when={when}{plus}").into());
        command.push("-o".into());
        command.push(trace.to_owned());
        command
    }

    /// How it is called in a report.
    #[must_use]
    pub fn text(&self) -> String {
        let plus = if self.sticky { "+" } else { "" };
        format!("{} {} {}{plus}", self.calls, self.error, self.when)
    }
}

/// Whether strace can be used here, and why not.
///
/// # Errors
/// The reason.
pub fn usable() -> Result<(), String> {
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", "trace=none", "true"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("strace cannot trace here: {status}")),
        Err(error) => Err(format!("strace: {error}")),
    }
}

/// When errors were injected.
#[must_use]
pub fn struck(trace: &Path) -> Vec<SystemTime> {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("(INJECTED)"));
    lines.filter_map(time_of).collect()
}

/// The time of a line `<pid> <seconds>.<micros> <call>`.
fn time_of(line: &str) -> Option<SystemTime> {
    let (seconds, micros) = line.split_whitespace().nth(1)?.split_once('.')?;
    let since =
        Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
    Some(UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injected_lines_have_a_time() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = "7  1795250525.901776 fdatasync(3)    = 0\n\
                    7  1795250525.902790 fdatasync(3)    = -1 EIO (Input/output error) (INJECTED)\n\
                    8  1795250526.000001 <... fdatasync resumed>) = -1 EIO (x) (INJECTED)\n";
        std::fs::write(file.path(), text).expect("written");
        let at =
            |secs, micros| UNIX_EPOCH + Duration::from_secs(secs) + Duration::from_micros(micros);
        let expected = [at(1_795_250_525, 902_790), at(1_795_250_526, 1)];
        assert_eq!(struck(file.path()), expected);
    }

    #[test]
    fn sticky_ones_have_a_plus() {
        let injection = Injection {
            calls: "fsync,fdatasync",
            error: "EIO",
            when: 3,
            sticky: true,
        };
        let command = injection.command(Path::new("/t"));
        let has = |text: &str| command.iter().any(|part| part == Path::new(text));
        assert!(has("inject=fsync,fdatasync:error=EIO:when=3+"));
        assert_eq!(injection.text(), "fsync,fdatasync EIO 3+");
    }
}
