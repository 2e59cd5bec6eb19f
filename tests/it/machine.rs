//! What a test needs to know of the machine it runs on.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The turn of a test that loads the machine or measures it: one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line for whoever runs the tests, shown whether they pass or fail: a figure, or why a test
/// is skipped.
pub(crate) fn report(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "\n{line}");
}

/// The number of MiB in an environment variable, or `default`, in bytes.
pub(crate) fn mib(variable: &str, default: u64) -> u64 {
    let asked = std::env::var(variable).ok();
    let asked = asked.map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number of MiB"))
    });
    asked.unwrap_or(default) << 20
}

/// Bytes in MiB.
pub(crate) fn in_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Bytes that may still be written to the filesystem of `path`.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    let stat = rustix::fs::statvfs(path).expect("a filesystem");
    stat.f_bavail * stat.f_frsize
}

/// Whether there is room for `bytes` in the directory of temporary files; says so when there is not.
pub(crate) fn has_room(test: &str, bytes: u64) -> bool {
    let dir = std::env::temp_dir();
    let free = free_bytes(&dir);
    if free < bytes {
        let (free, bytes) = (in_mib(free), in_mib(bytes));
        report(&format!(
            "skipped {test}: {} has {free:.0} MiB free, {bytes:.0} MiB are needed",
            dir.display()
        ));
    }
    free >= bytes
}

/// Whether `program` is there; says so when it is not.
pub(crate) fn has_program(test: &str, program: &str) -> bool {
    let mut which = Command::new("sh");
    which
        .args(["-c", "command -v \"$1\"", "sh", program])
        .stdout(Stdio::null());
    let found = which.status().is_ok_and(|status| status.success());
    if !found {
        report(&format!("skipped {test}: there is no {program}"));
    }
    found
}
