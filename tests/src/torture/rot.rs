//! Rot: while the server is stopped, bits flip and files lose their ends.
//!
//! 1. Chunks whose bytes are not what they were turn missing, and no others; when they were sent
//!    again the upload finishes, exact.
//! 2. A log with a bad entry in its middle ends the upload (410 `state_lost`) or costs chunks; one
//!    with rubbish at its end costs nothing.
//! 3. The handler never sees other bytes.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::book::{Heard, How};
use super::context::Context;
use super::finding::Finding;
use super::kill;
use super::lane::{Lane, Shape};
use super::lanes;
use super::ledger::{Phase, Upload};
use super::load;
use super::oracle::Fault;
use super::plan::Plan;
use super::report::Report;
use super::rng::Rng;
use super::wire::{self, Wire};
use crate::config::CHUNK;
use crate::data;

/// Uploads that are damaged in one cycle.
const UPLOADS: usize = 6;

/// Cycles between two settlings.
const SETTLE_EVERY: usize = 50;

/// What happens to the files of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// Nothing.
    None,
    /// Bits of its data flip.
    DataFlip,
    /// Its data lose their end.
    DataCut,
    /// A bit of its log flips, before the last entries.
    LogFlip,
    /// Rubbish stands behind the last entry of its log.
    LogRubbish,
}

const DAMAGES: &[(Damage, &str)] = &[
    (Damage::None, "left alone"),
    (Damage::DataFlip, "with flipped bits in the data"),
    (Damage::DataCut, "with their data cut"),
    (Damage::LogFlip, "with a flipped bit in the log"),
    (Damage::LogRubbish, "with rubbish behind the log"),
];

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    let shape = |shape| Shape {
        // What a damaged log may forget is judged here.
        fault: Fault::Power,
        delay_ms: 100,
        ..shape
    };
    let shapes = kill::shapes().into_iter().map(shape).collect();
    let mut report = lanes::parallel(
        context,
        "rot",
        shapes,
        context.cycles(40, 400),
        |lane, cycles| {
            for cycle in 1..=cycles {
                rot(lane);
                if cycle % SETTLE_EVERY == 0 && lane.start() {
                    lane.settle();
                }
            }
            if lane.start() {
                lane.settle();
            }
            let book = load::open(&lane.book);
            let lost = book
                .uploads
                .iter()
                .filter(|upload| upload.phase == Phase::Lost);
            lane.report.note(STATE_LOST, lost.count());
        },
    );
    if report.notes.get(STATE_LOST).copied().unwrap_or_default() == 0 {
        let text = "no log was found to be damaged".to_owned();
        report.found.push(Finding::Odd(text));
    }
    report
}

const STATE_LOST: &str = "answered with 410 state_lost";

/// One life, damage, and a life after it.
fn rot(lane: &mut Lane) {
    lane.report.cycles += 1;
    if !lane.start() {
        return;
    }
    let first = load::open(&lane.book).uploads.len();
    for _ in 0..UPLOADS {
        begin(lane);
    }
    if lane.rng.chance(50) {
        lane.leave();
    } else {
        lane.kill();
    }
    let book = std::sync::Arc::clone(&lane.book);
    for upload in load::open(&book).uploads.iter_mut().skip(first) {
        let (damage, what) = *lane.rng.pick(DAMAGES);
        if upload.phase == Phase::Open && upload.id.is_some() {
            let dir = lane.state_dir.clone();
            match strike(upload, &dir, damage, &mut lane.rng) {
                Ok(()) => lane.report.note(what, 1),
                Err(error) => lane.report.note(&format!("not damaged: {error}"), 1),
            }
        }
    }
    if lane.start() {
        lane.check();
        lane.finish();
        lane.verify();
        lane.kill();
    }
}

/// Creates an upload and sends some of it, now and then all.
fn begin(lane: &mut Lane) {
    let chunks = lane.rng.within(2..=16);
    let size = chunks * CHUNK - lane.rng.within(0..=CHUNK - 1);
    let seed = lane.rng.draw();
    let all = lane.rng.chance(20);
    let sent: Vec<usize> = (0..chunks).filter(|_| all || lane.rng.chance(70)).collect();
    let mut book = load::open(&lane.book);
    let plan = Plan::plain(book.next_name(), size, seed);
    let number = book.enter(plan);
    let plan = std::sync::Arc::clone(&book.uploads[number].plan);
    let mut wire = Wire::new(lane.setup.addr);
    let Ok(response) = wire.send(&wire::create(&plan)) else {
        return;
    };
    book.created(number, &response);
    let Some(id) = book.uploads[number].id.clone() else {
        return;
    };
    for chunk in sent {
        book.uploads[number].offered.insert(chunk);
        let request = wire::chunk(&id, chunk, plan.bytes(chunk));
        if all && book.uploads[number].is_all_offered() {
            // Its answer would be that of the handler.
            let _ = wire.abandon(&request, usize::MAX);
            if wire.whole() {
                book.uploads[number].sent.insert(chunk);
            }
            return;
        }
        let heard = Heard::of(&mut wire, |wire| wire.send(&request).ok());
        book.put(number, chunk, How::Whole, &heard);
    }
}

/// Damages the files of an upload, and takes back from the ledger what nobody can keep after that.
fn strike(upload: &mut Upload, dir: &Path, damage: Damage, rng: &mut Rng) -> io::Result<()> {
    let key = upload.key().unwrap_or_default();
    let open = |suffix: &str| {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.open(dir.join(format!("{key}.{suffix}")))
    };
    match damage {
        Damage::None => {}
        // Its last entry may be that of its end, and a last entry that is damaged looks like one
        // that a power cut has torn: the handler would be called again.
        Damage::LogFlip if upload.is_all_offered() => {}
        Damage::DataFlip => {
            let file = open("data")?;
            let held: Vec<usize> = upload.offered.iter().copied().collect();
            for _ in 0..rng.within(1..=3) {
                let Some(chunk) = held.get(rng.within(0..=held.len().max(1) - 1)) else {
                    break;
                };
                let start = chunk * upload.plan.chunk_size;
                let offset = start + rng.within(0..=upload.plan.len_of(*chunk) - 1);
                // Of the last chunk's bytes a death may have left none.
                if flip(&file, offset as u64, rng)? {
                    forget(upload, &BTreeSet::from([*chunk]));
                }
            }
        }
        Damage::DataCut => {
            let file = open("data")?;
            let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            let kept = rng.within(0..=len.saturating_sub(1));
            file.set_len(kept as u64)?;
            let first = kept / upload.plan.chunk_size;
            forget(upload, &(first..upload.plan.chunks()).collect());
        }
        Damage::LogFlip => {
            let file = open("log")?;
            let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            flip(&file, rng.within(0..=len * 3 / 4) as u64, rng)?;
            forget(upload, &(0..upload.plan.chunks()).collect());
        }
        Damage::LogRubbish => {
            let file = open("log")?;
            let rubbish = match rng.chance(50) {
                true => vec![0; rng.within(1..=4096)],
                false => data::random(rng.draw(), rng.within(1..=4096)),
            };
            file.write_all_at(&rubbish, file.metadata()?.len())?;
        }
    }
    Ok(())
}

/// Flips a bit of the byte at `offset`; false when there is none.
fn flip(file: &File, offset: u64, rng: &mut Rng) -> io::Result<bool> {
    let mut byte = [0];
    if file.read_at(&mut byte, offset)? == 0 {
        return Ok(false);
    }
    byte[0] ^= 1 << rng.within(0..=7);
    file.write_all_at(&byte, offset)?;
    Ok(true)
}

/// Takes chunks back from the ledger: no promise is left of them.
fn forget(upload: &mut Upload, chunks: &BTreeSet<usize>) {
    upload.damaged = true;
    upload.acked.retain(|chunk, _| !chunks.contains(chunk));
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_flip_changes_one_bit() {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&[0; 64], 0).expect("written");
        let mut rng = Rng::new(1);
        assert!(flip(&file, 10, &mut rng).expect("flipped"));
        assert!(!flip(&file, 64, &mut rng).expect("nothing there"));
        let mut bytes = [0; 64];
        file.read_exact_at(&mut bytes, 0).expect("read");
        let set: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!((set, bytes[10].count_ones()), (1, 1));
    }

    #[test]
    fn damage_takes_back_what_it_touches() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut upload = Upload::new(Plan::plain("a.bin".to_owned(), 4 * CHUNK, 1));
        upload.id = Some("id".to_owned());
        (0..4).for_each(|chunk| {
            upload.offered.insert(chunk);
            upload.ack(chunk, SystemTime::now());
        });
        let key = upload.key().expect("a key");
        std::fs::write(dir.path().join(format!("{key}.data")), upload.plan.whole()).expect("data");
        let mut rng = Rng::new(5);
        strike(&mut upload, dir.path(), Damage::DataCut, &mut rng).expect("cut");
        let left = std::fs::metadata(dir.path().join(format!("{key}.data")))
            .expect("data")
            .len();
        let whole = usize::try_from(left).expect("a length") / CHUNK;
        assert_eq!(upload.acked.len(), whole);
        assert!(upload.damaged);
        assert!(strike(&mut upload, dir.path(), Damage::LogRubbish, &mut rng).is_err());
    }
}
