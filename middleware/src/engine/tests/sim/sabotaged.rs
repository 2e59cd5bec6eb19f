//! The histories find bugs: each of those that were put in on purpose.

use super::{run, run_many};
use crate::sabotage::{Bug, CHOSEN};

/// Histories within which a bug is found.
const HISTORIES_MAX: u64 = 3_000;

#[test]
fn every_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found = run_many(0..HISTORIES_MAX, |seed| {
            CHOSEN.set(Some(bug));
            run(seed)
        });
        match &found {
            Some(fault) => println!("bug {} {}", bug.name(), fault.lines().next().unwrap_or("")),
            None => {
                println!("bug {} is not found", bug.name());
                missed.push(bug.name());
            }
        }
    }
    assert!(missed.is_empty(), "not found by the histories: {missed:?}");
}
