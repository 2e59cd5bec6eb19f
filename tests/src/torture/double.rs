//! Faults during the recovery from a fault, several in a row.

use super::context::Context;
use super::disk::{Disk, Medium};
use super::kill::{self, CLIENTS};
use super::lane::Lane;
use super::lanes;
use super::power;
use super::report::Report;

const EXT4_SIZE: u64 = 512 << 20;

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    let cycles = context.cycles(40, 400);
    let mut report = lanes::parallel(context, "double", kill::shapes(), cycles / 2, |lane, n| {
        lives(lane, n, Lane::kill);
    });
    let mount = || Disk::mount(Medium::Ext4, EXT4_SIZE);
    let cuts = lanes::on_disks(
        context,
        "double cuts",
        power::shapes("cut"),
        cycles.div_ceil(2),
        mount,
        |lane, disk, n| {
            lives(lane, n, |lane| {
                power::cut(lane, disk);
                power::revive(lane, disk);
            });
        },
    );
    match &cuts.skipped {
        Some(why) => report.note(&format!("without power cuts: {why}"), 0),
        None => report.add(cuts),
    }
    report
}

fn lives(lane: &mut Lane, cycles: usize, fault: impl Fn(&mut Lane)) {
    for _ in 0..cycles {
        lane.report.cycles += 1;
        let again = lane.rng.within(1..=4);
        for _ in 0..again {
            lane.spawn();
            std::thread::sleep(lane.rng.millis(0..=30));
            fault(lane);
        }
        lane.report.note("faults in a recovery", again);
        if !lane.start() {
            return;
        }
        lane.check();
        let time = lane.rng.millis(5..=150);
        lane.loaded(CLIENTS, |_| std::thread::sleep(time));
        fault(lane);
    }
    if lane.start() {
        lane.check();
        lane.settle();
    }
}
