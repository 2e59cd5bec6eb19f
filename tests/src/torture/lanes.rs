//! Several servers at once, each with a ledger of its own.

use super::context::Context;
use super::lane::{Lane, Shape};
use super::report::Report;

/// Runs `life` on a lane of every shape, all at once, which share the cycles.
pub fn parallel(
    context: &Context,
    tier: &str,
    shapes: Vec<Shape>,
    cycles: usize,
    life: impl Fn(&mut Lane, usize) + Sync,
) -> Report {
    let (rng, count) = (context.rng(tier), shapes.len());
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let lanes: Vec<_> = shapes
            .into_iter()
            .enumerate()
            .map(|(number, shape)| {
                let (rng, life) = (rng.fork(&shape.name), &life);
                let share = cycles / count + usize::from(number < cycles % count);
                scope.spawn(move || {
                    let mut lane = Lane::new(context, rng, shape, None);
                    life(&mut lane, share);
                    lane.end()
                })
            })
            .collect();
        for lane in lanes {
            report.add(lane.join().expect("no lane panics"));
        }
    });
    report
}
