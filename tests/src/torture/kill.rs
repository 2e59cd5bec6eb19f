//! `kill -9` at any moment: under load, in the middle of a recovery, in the middle of a hand-off.

use std::time::{Duration, Instant};

use super::context::Context;
use super::lane::{Kind, Lane, Shape};
use super::lanes;
use super::report::Report;

/// Clients of every lane.
pub const CLIENTS: usize = 4;

/// Deaths between two settlings.
const SETTLE_EVERY: usize = 60;

/// The longest wait for a hand-off to begin.
const HANDOFF_MAX: Duration = Duration::from_millis(400);

/// The programs and modes that are killed.
#[must_use]
pub fn shapes() -> Vec<Shape> {
    let kinds = [
        ("retry", Kind::Counted { hold: false }),
        ("hold", Kind::Counted { hold: true }),
        ("stock", Kind::Stock),
        ("store", Kind::Store),
    ];
    kinds.map(|(name, kind)| Shape::new(name, kind)).into()
}

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    let cycles = context.cycles(60, 1000);
    lanes::parallel(context, "kill", shapes(), cycles, |lane, cycles| {
        for cycle in 1..=cycles {
            death(lane);
            if cycle % SETTLE_EVERY == 0 && lane.start() {
                lane.check();
                lane.settle();
            }
        }
        if lane.start() {
            lane.check();
            lane.settle();
        }
    })
}

/// One life and its end.
fn death(lane: &mut Lane) {
    lane.report.cycles += 1;
    if lane.rng.chance(15) {
        // In the middle of a recovery.
        lane.spawn();
        std::thread::sleep(lane.rng.millis(0..=50));
        lane.kill();
        lane.report.note("in recovery", 1);
    }
    if !lane.start() {
        return;
    }
    lane.check();
    let aimed = matches!(lane.shape.kind, Kind::Counted { .. }) && lane.rng.chance(30);
    let wait = lane.rng.millis(5..=500);
    let late = lane.rng.millis(0..=30);
    lane.loaded(CLIENTS, |lane| {
        if aimed && handoff_begins(lane) {
            std::thread::sleep(late);
            lane.report.note("in a hand-off", 1);
        } else {
            std::thread::sleep(wait);
        }
        lane.kill();
    });
}

/// Waits until the handler is called; false when it is not.
fn handoff_begins(lane: &Lane) -> bool {
    let (before, begun) = (lane.calls().len(), Instant::now());
    while begun.elapsed() < HANDOFF_MAX {
        if lane.calls().len() > before {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
