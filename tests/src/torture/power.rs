//! Power cuts: the filesystem of the state directory stops where it stands, and only what was
//! flushed is there afterwards.
//!
//! The ledger of acknowledgements, the handler's ledger of calls and the files of the stock
//! handler lie elsewhere.
//!
//! The call that stops a filesystem takes milliseconds, and a flush that meets it may succeed
//! though its data never reach the disk: ext4 and XFS both do that. A machine without power says
//! nothing, so what is heard after that call began counts for nothing: no answer, and no call of
//! the handler.

use std::time::Duration;

use super::context::Context;
use super::disk::{Disk, Medium};
use super::finding::Finding;
use super::kill::CLIENTS;
use super::lane::{Kind, Lane, Shape};
use super::lanes;
use super::oracle::Fault;
use super::report::Report;

const EXT4_SIZE: u64 = 512 << 20;
/// The smallest that mkfs.xfs makes without being forced is 300 MiB.
const XFS_SIZE: u64 = 512 << 20;

/// Cuts between two settlings.
const SETTLE_EVERY: usize = 50;

/// When the power goes.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// While chunks are coming.
    Loaded(Duration),
    /// At once after the last answer.
    Idle(Duration),
    /// Seconds after the last answer: what a server forgot to flush sits in the cache.
    Later(Duration, Duration),
}

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    let cycles = context.cycles(26, 500);
    let mut report = on(context, "ext4", &Medium::Ext4, EXT4_SIZE, cycles);
    if report.skipped.is_none() {
        let cycles = context.cycles(6, 100);
        let xfs = on(context, "xfs", &Medium::Xfs, XFS_SIZE, cycles);
        match &xfs.skipped {
            Some(why) => report.note(&format!("without XFS: {why}"), 0),
            None => report.add(xfs),
        }
    }
    report
}

/// The programs and modes whose power is cut.
#[must_use]
pub fn shapes(prefix: &str) -> Vec<Shape> {
    let kinds = [
        ("retry", Kind::Counted { hold: false }),
        ("hold", Kind::Counted { hold: true }),
        ("stock", Kind::Stock),
        ("store", Kind::Store),
    ];
    let shape = |(name, kind)| Shape {
        fault: Fault::Power,
        ..Shape::new(&format!("{prefix}-{name}"), kind)
    };
    kinds.map(shape).into()
}

fn on(context: &Context, name: &str, medium: &Medium, size: u64, cycles: usize) -> Report {
    let mount = || Disk::mount(medium.clone(), size);
    lanes::on_disks(
        context,
        name,
        shapes(name),
        cycles,
        mount,
        |lane, disk, cycles| {
            for cycle in 1..=cycles {
                outage(lane, disk);
                if cycle % SETTLE_EVERY == 0 && lane.start() {
                    lane.check();
                    lane.settle();
                }
            }
            if lane.start() {
                lane.check();
                lane.settle();
            }
        },
    )
}

/// One life and its end.
fn outage(lane: &mut Lane, disk: &Disk) {
    lane.report.cycles += 1;
    if !lane.start() {
        return;
    }
    lane.check();
    let loaded = lane.rng.millis(5..=200);
    let moment = match lane.rng.within(0..=99) {
        0..=11 => Moment::Later(loaded, lane.rng.millis(1000..=8000)),
        12..=35 => Moment::Idle(loaded),
        _ => Moment::Loaded(loaded),
    };
    match moment {
        Moment::Loaded(time) => lane.loaded(CLIENTS, |lane| {
            std::thread::sleep(time);
            cut(lane, disk);
        }),
        Moment::Idle(time) => {
            lane.loaded(CLIENTS, |_| std::thread::sleep(time));
            cut(lane, disk);
            lane.report.note("after the last answer", 1);
        }
        Moment::Later(time, wait) => {
            lane.loaded(CLIENTS, |_| std::thread::sleep(time));
            std::thread::sleep(wait);
            cut(lane, disk);
            lane.report.note("seconds later", 1);
        }
    }
    revive(lane, disk);
}

/// Cuts the power, and ends the process that lives on without a disk.
pub fn cut(lane: &mut Lane, disk: &Disk) {
    lane.power_goes();
    if let Err(error) = disk.cut() {
        lane.report
            .found
            .push(Finding::Odd(format!("no power cut: {error}")));
    }
    lane.kill();
}

/// Gives the power back: what is on the disk is all there is.
pub fn revive(lane: &mut Lane, disk: &Disk) {
    let back = disk.unmount().and_then(|()| disk.remount());
    if let Err(error) = back {
        lane.report
            .found
            .push(Finding::Odd(format!("no disk: {error}")));
    }
}
