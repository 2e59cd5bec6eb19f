//! Several servers at once, each with a ledger of its own.

use super::context::Context;
use super::disk::Disk;
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
    let life = &life;
    let jobs = shapes.into_iter().enumerate().map(|(number, shape)| {
        let rng = rng.fork(&shape.name);
        move || {
            let mut lane = Lane::new(context, rng, shape, None);
            life(&mut lane, share(cycles, number, count));
            lane.end()
        }
    });
    together(jobs.collect())
}

/// As [`parallel`], with the state of each lane on a disk of its own. The disks are there before
/// anything begins; skipped where there can be none.
pub fn on_disks(
    context: &Context,
    tier: &str,
    shapes: Vec<Shape>,
    cycles: usize,
    mount: impl Fn() -> Result<Disk, String>,
    life: impl Fn(&mut Lane, &Disk, usize) + Sync,
) -> Report {
    let (rng, count) = (context.rng(tier), shapes.len());
    let disks: Result<Vec<Disk>, String> = shapes.iter().map(|_| mount()).collect();
    let disks = match disks {
        Ok(disks) => disks,
        Err(why) => return Report::skipped(why),
    };
    let life = &life;
    let jobs = shapes.into_iter().zip(disks).enumerate();
    let jobs = jobs.map(|(number, (shape, disk))| {
        let rng = rng.fork(&shape.name);
        move || {
            let mut lane = Lane::new(context, rng, shape, Some(&disk.path()));
            life(&mut lane, &disk, share(cycles, number, count));
            // The process goes before the disk.
            lane.end()
        }
    });
    together(jobs.collect())
}

/// The part of `cycles` that falls to lane `number` of `count`.
fn share(cycles: usize, number: usize, count: usize) -> usize {
    cycles / count + usize::from(number < cycles % count)
}

/// Does all jobs at once and adds up what came of them.
///
/// # Panics
/// When one of them does.
pub fn together<J: FnOnce() -> Report + Send>(jobs: Vec<J>) -> Report {
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
        for job in running {
            report.add(job.join().expect("no lane panics"));
        }
    });
    report
}
