//! Full disks: of bytes, and of inodes; on tmpfs and on ext4.
//!
//! 1. What does not fit is answered with 507 `no_space`, and when to come back.
//! 2. What was acknowledged stays, also over a death and a start on the full disk.
//! 3. The service goes on meanwhile: status, and the app's other routes.
//! 4. When there is room again, everything finishes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::book::{Heard, How};
use super::context::Context;
use super::disk::{Disk, Medium};
use super::finding::Finding;
use super::kill::CLIENTS;
use super::lane::{Kind, Lane, Shape};
use super::lanes;
use super::ledger::Phase;
use super::load;
use super::plan::Plan;
use super::report::Report;
use super::wire::{self, Wire};
use crate::config::CHUNK;
use crate::http::Response;

const SIZE: u64 = 64 << 20;

/// Uploads that are begun before the disk is full.
const UPLOADS: usize = 6;

/// Full disks between two settlings.
const SETTLE_EVERY: usize = 5;

/// What there is not enough of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    Bytes,
    Inodes,
}

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    let tmpfs = |options: &str| Medium::Tmpfs(options.to_owned());
    let disks = [
        ("tmpfs", tmpfs("size=64m"), Lack::Bytes),
        ("inodes", tmpfs("size=64m,nr_inodes=512"), Lack::Inodes),
        ("small-ext4", Medium::Ext4, Lack::Bytes),
    ];
    let (mut report, mut skipped) = (Report::default(), Vec::new());
    for (name, medium, lack) in disks {
        let shapes = shapes(name);
        let cycles = context.cycles(2 * shapes.len(), 20 * shapes.len());
        let mount = || Disk::mount(medium.clone(), SIZE);
        let part = lanes::on_disks(
            context,
            name,
            shapes,
            cycles,
            mount,
            |lane, disk, cycles| {
                for cycle in 1..=cycles {
                    fill_and_free(lane, disk, lack);
                    // Ended uploads take inodes too.
                    let is_time = cycle % SETTLE_EVERY == 0 || cycle == cycles;
                    if is_time && lane.start() {
                        lane.settle();
                    }
                }
            },
        );
        match part.skipped {
            Some(why) => skipped.push(format!("{name}: {why}")),
            None => report.add(part),
        }
    }
    if report.cycles == 0 && report.found.is_empty() {
        return Report::skipped(skipped.join(", "));
    }
    for why in skipped {
        report.note(&format!("without {why}"), 0);
    }
    for what in [REFUSED, REFUSED_CREATE] {
        if report.notes.get(what).copied().unwrap_or_default() == 0 {
            report.found.push(Finding::Odd(format!("no {what} at all")));
        }
    }
    report
}

const REFUSED: &str = "507 no_space";
const REFUSED_CREATE: &str = "507 to a create";

fn shapes(name: &str) -> Vec<Shape> {
    let kinds = [
        ("retry", Kind::Counted { hold: false }),
        ("store", Kind::Store),
    ];
    let shape = |(kind_name, kind)| Shape {
        prompt: false,
        extra: "[uploads]\nmin_free_space = \"0\"\n[delivery]\nfinalize_wait = \"1s\"".to_owned(),
        ..Shape::new(&format!("{name}-{kind_name}"), kind)
    };
    kinds.map(shape).into()
}

/// Fills the disk in the middle of uploads, dies, starts on the full disk, and frees it.
fn fill_and_free(lane: &mut Lane, disk: &Disk, lack: Lack) {
    lane.report.cycles += 1;
    if !lane.start() {
        return;
    }
    let numbers: Vec<usize> = (0..UPLOADS).map(|_| begin(lane)).collect();
    send(lane, &numbers, 50);
    let ballast = Ballast::new(&disk.path(), lack);
    if lane.rng.chance(50) {
        // A disk that fills under load.
        let time = lane.rng.millis(20..=100);
        lane.loaded(CLIENTS, |lane| {
            fill(lane, &ballast);
            std::thread::sleep(time);
        });
    } else {
        fill(lane, &ballast);
    }
    full(lane, &numbers, &ballast);
    lane.kill();
    if lane.start() {
        lane.check();
        full(lane, &numbers, &ballast);
        ballast.free();
        send(lane, &numbers, 100);
        lane.finish();
        lane.check();
        lane.verify();
        lane.leave();
    }
}

fn fill(lane: &mut Lane, ballast: &Ballast) {
    if let Err(error) = ballast.fill() {
        lane.report
            .found
            .push(Finding::Odd(format!("cannot fill: {error}")));
    }
}

/// Begins an upload.
fn begin(lane: &mut Lane) -> usize {
    let size = lane.rng.within(4 * CHUNK..=24 * CHUNK);
    let seed = lane.rng.draw();
    let number = {
        let mut book = load::open(&lane.book);
        let plan = Plan::plain(book.next_name(), size, seed);
        book.enter(plan)
    };
    create(lane, number);
    number
}

fn create(lane: &mut Lane, number: usize) -> Option<Response> {
    let plan = Arc::clone(&load::open(&lane.book).uploads[number].plan);
    let answer = Wire::new(lane.setup.addr).send(&wire::create(&plan)).ok()?;
    load::open(&lane.book).created(number, &answer);
    Some(answer)
}

/// Sends `percent` of the chunks that are not acknowledged yet, and judges every answer.
fn send(lane: &mut Lane, numbers: &[usize], percent: usize) {
    let mut wire = Wire::new(lane.setup.addr);
    for number in numbers {
        let (id, plan, wanted) = {
            let book = load::open(&lane.book);
            let upload = &book.uploads[*number];
            let Some(id) = upload.id.clone().filter(|_| upload.phase == Phase::Open) else {
                continue;
            };
            let plan = Arc::clone(&upload.plan);
            let wanted = (0..plan.chunks()).filter(|chunk| !upload.acked.contains_key(chunk));
            (id, plan, wanted.collect::<Vec<_>>())
        };
        for chunk in wanted {
            if !lane.rng.chance(percent) {
                continue;
            }
            load::open(&lane.book).uploads[*number]
                .offered
                .insert(chunk);
            let request = wire::chunk(&id, chunk, plan.bytes(chunk));
            let heard = Heard::of(&mut wire, |wire| wire.ask(&request).ok());
            load::open(&lane.book).put(*number, chunk, How::Whole, &heard);
            judge(lane, "chunk", heard.answer.as_ref());
        }
    }
}

/// On a full disk: requests are refused in the right words, and the rest of the service goes on.
fn full(lane: &mut Lane, numbers: &[usize], ballast: &Ballast) {
    send(lane, numbers, 60);
    // What ended meanwhile has given back what it took.
    fill(lane, ballast);
    let number = {
        let mut book = load::open(&lane.book);
        let plan = Plan::plain(book.next_name(), 4 * CHUNK, 1);
        book.enter(plan)
    };
    let answer = create(lane, number);
    judge(lane, "create", answer.as_ref());
    if answer.is_some_and(|answer| answer.status == 507) {
        lane.report.note(REFUSED_CREATE, 1);
    }
    lane.check();
    let other = Wire::new(lane.setup.addr).send(&wire::other());
    let status = other.map(|response| response.status);
    if !matches!(status, Ok(200)) {
        let text = format!("another route of the app on a full disk: {status:?}");
        lane.report.found.push(Finding::Odd(text));
    }
}

/// A 2xx, or a 507 in its proper form.
fn judge(lane: &mut Lane, what: &str, answer: Option<&Response>) {
    let name = &lane.shape.name;
    let Some(answer) = answer else {
        let text = format!("{name}: {what} on a full disk: no answer");
        return lane.report.found.push(Finding::Odd(text));
    };
    match answer.status {
        200..300 => {}
        // All bytes are safe, and the finished file waits for its own place.
        503 if answer.text("x-upload-state").as_deref() == Some("undelivered") => {}
        507 if answer.code() == "no_space" && answer.text("retry-after").is_some() => {
            lane.report.note(REFUSED, 1);
        }
        status => {
            let text = format!("{name}: {what} on a full disk: {status} {}", answer.code());
            lane.report.found.push(Finding::Odd(text));
        }
    }
}

/// What fills a disk.
struct Ballast {
    dir: PathBuf,
    lack: Lack,
}

impl Ballast {
    fn new(disk: &Path, lack: Lack) -> Self {
        let dir = disk.join("ballast");
        Self { dir, lack }
    }

    /// Takes all there is.
    fn fill(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir).or_else(no_space)?;
        match self.lack {
            Lack::Bytes => fill_bytes(&self.dir.join("bytes")).or_else(no_space),
            Lack::Inodes => {
                let mut names = 0..100_000;
                let taken = names
                    .try_for_each(|name| File::create(self.dir.join(name.to_string())).map(drop));
                taken.or_else(no_space)
            }
        }
    }

    /// Gives it all back.
    fn free(&self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Appends until nothing fits; small pieces at the end, so that little is left over.
fn fill_bytes(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    for piece in [1 << 20, 4096, 1] {
        let bytes = vec![0x5A; piece];
        while file
            .write_all(&bytes)
            .and_then(|()| room(&file, piece))
            .is_ok()
        {}
    }
    Ok(())
}

/// Makes a filesystem that promises late say now what it has no room for.
fn room(file: &File, piece: usize) -> io::Result<()> {
    if piece > 4096 {
        file.sync_data()
    } else {
        Ok(())
    }
}

/// That nothing fits any more is what was wanted.
fn no_space(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::StorageFull => Ok(()),
        _ => Err(error),
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        self.free();
        // Room that was given back is there at once on tmpfs, soon on others.
        std::thread::sleep(Duration::from_millis(5));
    }
}
