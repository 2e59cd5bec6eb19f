//! Histories: clients send files, the process dies, the power is cut, the disk fails, and what was
//! promised is compared with what there is.
//!
//! A history is its seed: `STEADFAST_HISTORY=<seed>` runs one and prints its steps,
//! `STEADFAST_HISTORIES=<number>` runs as many.

#![allow(
    clippy::print_stdout,
    reason = "a history is printed when it is asked for"
)]

mod check;
mod life;
mod sabotaged;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use self::world::World;

/// Histories of one run of the tests.
const HISTORIES: u64 = 20_000;

/// Runs one history; what went wrong, if anything did.
fn run(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| world.live()));
    let found = match result {
        Ok(found) => found,
        Err(panic) => Err(panic_text(panic.as_ref())),
    };
    found.map_err(|fault| format!("history {seed}: {fault}\n{}", world.steps()))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic")
        .to_owned()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs histories on all cores until one fails; the first that did.
fn run_many(
    seeds: std::ops::Range<u64>,
    run: impl Fn(u64) -> Result<(), String> + Sync,
) -> Option<String> {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return None;
            }
            if let Err(fault) = run(seed) {
                stop.store(true, Ordering::Relaxed);
                return Some(fault);
            }
        }
        None
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let found = workers
            .into_iter()
            .filter_map(|worker| worker.join().unwrap());
        found.collect::<Vec<_>>().into_iter().next()
    })
}

#[test]
fn no_history_breaks_a_promise() {
    if let Some(seed) = number("STEADFAST_HISTORY") {
        let mut world = World::new(seed);
        let found = world.live();
        println!("{}", world.steps());
        found.unwrap();
        return;
    }
    let begun = std::time::Instant::now();
    let histories = number("STEADFAST_HISTORIES").unwrap_or(HISTORIES);
    if let Some(fault) = run_many(0..histories, run) {
        panic!("{fault}");
    }
    println!("{histories} histories in {:?}", begun.elapsed());
}
