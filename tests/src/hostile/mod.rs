//! The hostile pack: what an attacker or a broken client sends, as data in `tests/hostile/*.toml`,
//! and the runner that plays it against the real server program.
//!
//! 1. A case says what may come of it ([`case`]); the runner asserts more after each one: the
//!    server lives and takes a good upload, nothing lies outside of its directories, no secret and
//!    no session id is in an answer or in the log, and descriptors and memory come back (`check`).
//! 2. Cases of one configuration share servers; a server plays one case at a time, so that all
//!    that is measured belongs to that case (`lane`).
//! 3. A case that is `known` to fail must fail: the day it passes, its mark must go.

mod answers;
pub mod case;
mod check;
mod h2;
mod hpack;
mod lane;
mod refused;
mod send;
mod signed;
pub mod text;
mod wire;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use case::Case;

/// What is wrong with a case, sentence by sentence.
#[derive(Debug, Default)]
struct Problems {
    /// What does not come out as the case says: all that a `known` case may be excused.
    case: Vec<String>,
    /// What no case may do.
    harm: Vec<String>,
}

/// Plays the cases of `tests/hostile/<theme>.toml`: all, or those that `HOSTILE_CASE` is part of
/// the name of.
///
/// # Panics
/// When one does not come out as it says, with all that did not.
pub fn run(theme: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("hostile/{theme}.toml"));
    let text = std::fs::read_to_string(&path).expect("the file of cases");
    let mut cases = case::parse(&text).unwrap_or_else(|error| panic!("{theme}.toml: {error}"));
    if let Ok(part) = std::env::var("HOSTILE_CASE") {
        cases.retain(|case| case.name.contains(&part));
    }
    let failed = failures(&cases);
    let (count, all) = (failed.len(), cases.len());
    assert!(
        failed.is_empty(),
        "{count} of {all} cases:\n\n{}\n",
        failed.join("\n\n")
    );
}

/// Plays cases and says, sorted by name, which did not come out as they say, and how.
#[must_use]
pub fn failures(cases: &[Case]) -> Vec<String> {
    let failed = Mutex::new(Vec::new());
    lane::play(cases, &|case, Problems { case: said, harm }| {
        let said = match (&case.known, said.is_empty()) {
            (Some(why), true) => vec![format!("passes, although known to fail: {why}")],
            (Some(_), false) => Vec::new(),
            (None, _) => said,
        };
        let all = [said, harm].concat();
        if !all.is_empty() {
            let Case { name, why, .. } = case;
            let line = format!("{name}: {why}\n    {}", all.join("\n    "));
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.push(line);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort();
    failed
}
