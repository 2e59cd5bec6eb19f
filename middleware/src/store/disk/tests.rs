#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::file::{self, LogFile};
use super::format::{self, PREFIX_LEN, Salt};
use super::*;
use crate::upload::tests::sample::{answer, any_entry, header, key};
use crate::upload::{Durability, Failure, Timestamp};
use crate::volume::System;

/// The header of an upload whose entries are not flushed: they reach the disk in order or not at all.
fn unflushed(total: u64) -> Arc<Header> {
    let mut header = Header::clone(&header(total));
    header.durability = Durability::Process;
    Arc::new(header)
}

fn files() -> System {
    System::new(Path::new("/")).unwrap()
}

/// Entries after the header, of every kind but a cancel, for a file of 30 bytes.
fn life() -> Vec<Entry> {
    let at = Timestamp(3_000);
    let received = |start| Entry::Received {
        start,
        len: 10,
        crc: 0xdead_beef,
        at,
    };
    let ended = Entry::HandoffEnded {
        answer: Some(answer(201)),
        name: Some(crate::upload::FileName::parse("a (1).bin").unwrap()),
        sha256: Some("ab".repeat(32)),
        at,
    };
    vec![
        Entry::ChunkSize { bytes: 10 },
        received(20),
        received(0),
        received(10),
        Entry::Withdrawn {
            start: 0,
            len: 10,
            at,
        },
        received(0),
        Entry::Sealed { at },
        Entry::HandoffBegun { at },
        Entry::HandoffFailed {
            failure: Failure::Answered(answer(503)),
            at,
        },
        Entry::HandoffBegun { at },
        Entry::HandoffFailed {
            failure: Failure::TimedOut,
            at,
        },
        Entry::HandoffBegun { at },
        ended,
    ]
}

/// A log of a whole life, its bytes, and where its frames end.
struct Sample {
    dir: TempDir,
    bytes: Vec<u8>,
    /// `ends[n]` is the length of the file with the header and `n` more entries.
    ends: Vec<usize>,
}

impl Sample {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        file::create(&files(), &path, unflushed(30)).unwrap();
        let len = || fs::metadata(&path).unwrap().len() as usize;
        let mut ends = vec![len()];
        let (_, log) = LogFile::open(&files(), &path).unwrap().unwrap();
        for (number, entry) in life().into_iter().enumerate() {
            log.append(number as u64 + 1, &[entry]).unwrap();
            ends.push(len());
        }
        let bytes = fs::read(&path).unwrap();
        Self { dir, bytes, ends }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The path of a log of these bytes.
    fn with(&self, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(), bytes).unwrap();
        self.path()
    }

    /// The frame that byte `at` belongs to; 0 is the header's.
    fn frame_of(&self, at: usize) -> usize {
        self.ends.iter().position(|&end| at < end).unwrap()
    }

    fn last(&self) -> usize {
        self.ends.len() - 1
    }
}

/// The record of the header and the first `entries` of a life.
fn folded(entries: usize) -> String {
    let created = Entry::Created(unflushed(30));
    let entries = life().into_iter().take(entries);
    format!(
        "{:?}",
        Record::replay(std::iter::once(created).chain(entries)).unwrap()
    )
}

fn opened(path: &Path) -> Option<(String, LogFile)> {
    let read = file::read(&files(), path).unwrap();
    let opened = LogFile::open(&files(), path).unwrap();
    let shown = read.map(|record| format!("{record:?}"));
    assert_eq!(
        shown,
        opened.as_ref().map(|(record, _)| format!("{record:?}"))
    );
    opened.map(|(record, log)| (format!("{record:?}"), log))
}

fn is_damaged(path: &Path) -> bool {
    let read = matches!(file::read(&files(), path), Err(StoreError::Damaged(_)));
    let opened = matches!(LogFile::open(&files(), path), Err(StoreError::Damaged(_)));
    assert_eq!(read, opened);
    read
}

/// After a cut, the log goes on where it was cut, and what is added then survives.
fn assert_goes_on(path: &Path, log: &LogFile, entries: usize) {
    let Some(next) = life().into_iter().nth(entries) else {
        return;
    };
    log.append(entries as u64 + 1, &[next]).unwrap();
    assert_eq!(opened(path).unwrap().0, folded(entries + 1));
}

proptest! {
    #[test]
    fn every_entry_comes_back_as_it_went(
        entries in vec(any_entry(), 0..8),
        salt in any::<Salt>(),
    ) {
        let mut bytes = format::prefix(salt);
        for (number, entry) in entries.iter().enumerate() {
            if number % 2 == 0 {
                format::push_frame(&mut bytes, &salt, 0, entry).unwrap();
            } else {
                // As a later append adds it.
                let mut frame = Vec::new();
                format::push_frame(&mut frame, &salt, bytes.len() as u64, entry).unwrap();
                bytes.extend(frame);
            }
        }
        prop_assert_eq!(format::read_prefix(&bytes), Some(salt));
        let parsed = format::parse(&bytes, &salt);
        prop_assert_eq!(parsed.entries, entries);
        prop_assert_eq!(parsed.len, bytes.len() as u64);
        prop_assert!(!parsed.damaged);
    }

    #[test]
    fn any_bytes_at_all_are_no_entries(bytes in vec(any::<u8>(), 0..400), salt in any::<Salt>()) {
        let bytes = [format::prefix(salt), bytes].concat();
        let parsed = format::parse(&bytes, &salt);
        prop_assert_eq!((parsed.entries.len(), parsed.len), (0, PREFIX_LEN as u64));
    }
}

#[test]
fn a_log_cut_at_any_byte_holds_the_entries_before_the_cut() {
    let sample = Sample::new();
    for cut in 0..=sample.bytes.len() {
        let path = sample.with(&sample.bytes[..cut]);
        let frames = sample.ends.iter().filter(|&&end| end <= cut).count();
        let Some((record, log)) = opened(&path) else {
            assert_eq!(frames, 0, "cut at {cut}");
            continue;
        };
        assert_eq!(record, folded(frames - 1), "cut at {cut}");
        // Opening changes nothing: an opening that was given up may come to its end much later.
        assert_eq!(fs::read(&path).unwrap(), sample.bytes[..cut]);
        assert_goes_on(&path, &log, frames - 1);
    }
}

/// What was preallocated, or allocated by the filesystem and never written.
#[test]
fn a_tail_that_is_no_entry_is_cut() {
    let sample = Sample::new();
    let text = b"{\"sealed\":{\"at\":3000}}".repeat(20);
    for tail in [
        vec![0; 1],
        vec![0; 4096],
        vec![0xff; 100],
        vec![1; 3000],
        text,
    ] {
        for frames in [1, 3, sample.ends.len()] {
            let path = sample.with(&[&sample.bytes[..sample.ends[frames - 1]], &tail].concat());
            let (record, log) = opened(&path).unwrap();
            assert_eq!(record, folded(frames - 1));
            assert_goes_on(&path, &log, frames - 1);
        }
    }
}

#[test]
fn a_flipped_byte_is_never_another_entry() {
    let sample = Sample::new();
    for at in PREFIX_LEN..sample.bytes.len() {
        for mask in [0x01, 0x10, 0x80, 0xff] {
            let mut bytes = sample.bytes.clone();
            bytes[at] ^= mask;
            let frame = sample.frame_of(at);
            let path = sample.with(&bytes);
            if frame < sample.last() {
                assert!(is_damaged(&path), "byte {at} of frame {frame}");
            } else {
                // Nothing is behind it: it looks as a torn tail does.
                assert_eq!(opened(&path).unwrap().0, folded(frame - 1), "byte {at}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_of_the_beginning_yields_nothing() {
    let sample = Sample::new();
    for at in 0..PREFIX_LEN {
        for mask in [0x01, 0x80, 0xff] {
            let mut bytes = sample.bytes.clone();
            bytes[at] ^= mask;
            let path = sample.with(&bytes);
            assert!(
                !matches!(file::read(&files(), &path), Ok(Some(_))),
                "byte {at}"
            );
            assert!(
                !matches!(LogFile::open(&files(), &path), Ok(Some(_))),
                "byte {at}"
            );
            if at < format::MAGIC.len() {
                assert!(is_damaged(&path), "byte {at}");
            }
        }
    }
}

#[test]
fn a_log_of_another_salt_is_damaged() {
    let sample = Sample::new();
    let mut bytes = sample.bytes.clone();
    bytes[PREFIX_LEN - 1] ^= 1;
    assert!(is_damaged(&sample.with(&bytes)));
}

#[test]
fn damage_with_good_entries_behind_it_is_told_and_changes_nothing() {
    let sample = Sample::new();
    for frame in 0..sample.last() {
        let start = if frame == 0 {
            PREFIX_LEN
        } else {
            sample.ends[frame - 1]
        };
        for fill in [0x00, 0xff] {
            let mut bytes = sample.bytes.clone();
            bytes[start..sample.ends[frame]].fill(fill);
            let path = sample.with(&bytes);
            assert!(is_damaged(&path), "frame {frame} filled with {fill}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "the evidence is kept");
        }
        // Cut out: what follows stands where it was not written.
        let rest = [&sample.bytes[..start], &sample.bytes[sample.ends[frame]..]].concat();
        let path = sample.with(&rest);
        if frame == 0 {
            assert!(is_damaged(&path), "a whole frame is no header cut short");
        } else {
            assert_eq!(opened(&path).unwrap().0, folded(frame - 1));
        }
    }
}

/// Blocks of a deleted log may come back in a new one.
#[test]
fn entries_of_another_log_do_not_parse() {
    let (ours, other) = (Sample::new(), Sample::new());
    assert_eq!(ours.ends, other.ends);
    for frames in 1..ours.ends.len() {
        let end = ours.ends[frames - 1];
        let path = ours.with(&[&ours.bytes[..end], &other.bytes[end..]].concat());
        let (record, log) = opened(&path).unwrap();
        assert_eq!(record, folded(frames - 1));
        assert_goes_on(&path, &log, frames - 1);
    }
}

#[test]
fn an_entry_moved_or_repeated_within_its_log_does_not_parse() {
    let sample = Sample::new();
    let frame = &sample.bytes[sample.ends[1]..sample.ends[2]];
    let path = sample.with(&[&sample.bytes[..sample.ends[2]], frame].concat());
    assert_eq!(opened(&path).unwrap().0, folded(2));
    let path = sample.with(&[&sample.bytes[..sample.ends[0]], frame].concat());
    assert_eq!(opened(&path).unwrap().0, folded(0));
}

#[test]
fn entries_that_cannot_follow_each_other_are_damage() {
    let sample = Sample::new();
    let path = sample.with(&sample.bytes[..sample.ends[0]]);
    let (_, log) = LogFile::open(&files(), &path).unwrap().unwrap();
    log.append(1, &[Entry::Sealed { at: Timestamp(1) }])
        .unwrap();
    assert!(is_damaged(&path));
}

#[test]
fn an_entry_too_long_to_be_read_is_not_written() {
    let sample = Sample::new();
    let mut too_long = answer(200);
    too_long.body = vec![0; 1 << 20];
    let (_, log) = LogFile::open(&files(), &sample.path()).unwrap().unwrap();
    let failure = Failure::Answered(too_long);
    let entry = Entry::HandoffFailed {
        failure,
        at: Timestamp(1),
    };
    assert!(log.append(sample.ends.len() as u64, &[entry]).is_err());
}

#[test]
fn the_longest_answer_that_is_stored_fits() {
    let sample = Sample::new();
    let path = sample.with(&sample.bytes[..sample.ends[8]]);
    let (_, log) = LogFile::open(&files(), &path).unwrap().unwrap();
    let mut longest = answer(200);
    longest.body = vec![0xff; 64 * 1024];
    longest
        .headers
        .push(("location".to_owned(), "ÿ".repeat(64 * 1024)));
    let entry = Entry::HandoffFailed {
        failure: Failure::Answered(longest.clone()),
        at: Timestamp(1),
    };
    log.append(9, &[entry]).unwrap();
    let record = file::read(&files(), &path).unwrap().unwrap();
    assert_eq!(record.failure.as_deref(), Some(&Failure::Answered(longest)));
}

fn disk() -> (TempDir, Disk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path().to_owned(), Volume::test(dir.path(), 1));
    (dir, disk)
}

#[tokio::test]
async fn a_log_belongs_to_its_owner_alone() {
    let (dir, disk) = disk();
    disk.create(key(1), header(10)).await.unwrap();
    let path = dir.path().join(format!("{}.log", key(1)));
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}

#[tokio::test]
async fn a_link_in_the_place_of_a_log_is_not_followed() {
    let (dir, disk) = disk();
    let elsewhere = dir.path().join("elsewhere");
    file::create(&files(), &elsewhere, header(10)).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    symlink(&elsewhere, disk.path(key(1))).unwrap();
    symlink(dir.path().join("nowhere"), disk.path(key(2))).unwrap();
    assert!(matches!(disk.open(key(1)).await, Err(StoreError::Io(_))));
    for number in [1, 2] {
        let made = disk.create(key(number), header(99)).await;
        assert!(matches!(made, Err(StoreError::Exists)), "{made:?}");
    }
    assert!(!dir.path().join("nowhere").exists());
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_log_is_not_read() {
    let (dir, disk) = disk();
    let elsewhere = dir.path().join("elsewhere");
    file::create(&files(), &elsewhere, header(10)).unwrap();
    symlink(&elsewhere, disk.path(key(1))).unwrap();
    assert!(!matches!(disk.read(key(1)).await, Ok(Some(_))));
}

#[tokio::test]
async fn other_files_are_not_listed() {
    let (dir, disk) = disk();
    disk.create(key(1), header(10)).await.unwrap();
    for name in [
        "lock",
        "secret",
        "x.log",
        ".log",
        "note.txt",
        &format!("{}.data", key(2)),
    ] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    fs::write(dir.path().join(format!("{}.log.bak", key(3))), "").unwrap();
    let listed = disk.list().await.unwrap();
    assert_eq!(
        listed.iter().map(|upload| upload.key).collect::<Vec<_>>(),
        [key(1)]
    );
}

/// The process died in the middle of a create whose client never got an answer.
#[tokio::test]
async fn an_upload_without_its_header_can_be_created_again() {
    let (_dir, disk) = disk();
    for len in [0, 10, PREFIX_LEN, PREFIX_LEN + 9] {
        disk.create(key(1), header(10)).await.unwrap();
        let path = disk.path(key(1));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(disk.read(key(1)).await.unwrap().is_none(), "{len}");
        disk.create(key(1), header(10)).await.unwrap();
        assert!(disk.read(key(1)).await.unwrap().is_some(), "{len}");
        disk.remove(key(1)).await.unwrap();
    }
}

async fn damaged(disk: &Disk, number: u8) -> Vec<u8> {
    disk.create(key(number), header(10)).await.unwrap();
    let path = disk.path(key(number));
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, &bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_log_that_cannot_be_trusted_is_put_aside_when_it_is_opened() {
    let (dir, disk) = disk();
    let bytes = damaged(&disk, 1).await;
    let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let changed = modified(&disk.path(key(1)));
    for _ in 0..2 {
        let read = disk.read(key(1)).await;
        assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
        assert!(disk.path(key(1)).exists(), "reading changes nothing");
    }
    let opened = disk.open(key(1)).await.map(drop);
    assert!(matches!(opened, Err(StoreError::Damaged(_))), "{opened:?}");
    let lost = dir.path().join("lost").join(format!("{}.log", key(1)));
    assert_eq!(fs::read(&lost).unwrap(), bytes);
    assert_eq!(
        modified(&lost),
        changed,
        "its age is that of its last entry"
    );
    assert!(!disk.path(key(1)).exists());
    for _ in 0..2 {
        let (read, opened) = (disk.read(key(1)).await, disk.open(key(1)).await.map(drop));
        assert!(matches!(read, Err(StoreError::Lost)), "{read:?}");
        assert!(matches!(opened, Err(StoreError::Lost)), "{opened:?}");
    }
    assert!(disk.read(key(2)).await.unwrap().is_none());
    let listed: Vec<_> = disk.list().await.unwrap().iter().map(|u| u.key).collect();
    assert_eq!(listed, [key(1)], "it takes room until it is removed");
    disk.remove(key(1)).await.unwrap();
    assert!(!lost.exists());
    assert!(disk.read(key(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_lost_upload_can_be_created_anew() {
    let (_dir, disk) = disk();
    damaged(&disk, 1).await;
    let _ = disk.open(key(1)).await;
    disk.create(key(1), header(99)).await.unwrap();
    let record = disk.read(key(1)).await.unwrap().unwrap();
    assert_eq!(record.header.declaration.total, 99);
    assert_eq!(disk.list().await.unwrap().len(), 1, "one upload, once");
    disk.remove(key(1)).await.unwrap();
    assert!(
        disk.list().await.unwrap().is_empty(),
        "nothing is left of either"
    );
}

/// A process that dies between the entry and its mark leaves one without the other.
#[tokio::test]
async fn a_mark_is_only_a_hint() {
    let (dir, disk) = disk();
    disk.create(key(1), header(0)).await.unwrap();
    let opened = disk.open(key(1)).await.unwrap().unwrap();
    // Nothing can be made there.
    fs::write(dir.path().join("delivering"), "").unwrap();
    let sealed = Entry::Sealed { at: Timestamp(1) };
    opened.log.append(1, vec![sealed]).await.unwrap();
    fs::remove_file(dir.path().join("delivering")).unwrap();
    assert!(disk.delivering().await.unwrap().is_empty());
    fs::create_dir(dir.path().join("delivering")).unwrap();
    for name in ["note.txt", &key(7).to_string()] {
        fs::write(dir.path().join("delivering").join(name), "").unwrap();
    }
    assert_eq!(disk.delivering().await.unwrap(), [key(7)]);
    disk.delivered(key(7)).await.unwrap();
    assert!(disk.delivering().await.unwrap().is_empty());
}

/// What is flushed together reaches the disk in any order.
#[test]
fn a_hole_in_what_was_not_flushed_is_a_torn_tail_and_one_before_a_mark_is_damage() {
    let received = |start| Entry::Received {
        start,
        len: 10,
        crc: 7,
        at: Timestamp(2_000),
    };
    let last = [Entry::Synced, received(10), received(20)];
    let bytes_of = |entries: &[Entry], salt: &Salt| {
        let mut bytes = format::prefix(*salt);
        let mut ends = Vec::new();
        for entry in entries {
            format::push_frame(&mut bytes, salt, 0, entry).unwrap();
            ends.push(bytes.len());
        }
        (bytes, ends)
    };
    let salt = [7; 16];
    let entries = [&[Entry::Created(header(30)), received(0)], last.as_slice()].concat();
    let (bytes, ends) = bytes_of(&entries, &salt);
    for hole in 1..entries.len() {
        let mut bytes = bytes.clone();
        bytes[ends[hole - 1]..ends[hole]].fill(0);
        let parsed = format::parse(&bytes, &salt);
        let flushed = hole < 2;
        assert_eq!(parsed.damaged, flushed, "entry {hole}");
        assert_eq!(parsed.entries, entries[..hole]);
    }
}

/// The first block of a file is not lost alone when its create is cut short.
#[test]
fn a_log_without_its_beginning_is_damaged() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.log");
    file::create(&files(), &path, header(30)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[..PREFIX_LEN].fill(0);
    fs::write(&path, &bytes).unwrap();
    let read = file::read(&files(), &path);
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
    bytes.fill(0);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(file::read(&files(), &path), Ok(None)));
}

#[test]
fn the_room_of_an_outcome_is_there_for_the_handler_and_given_back_after_it() {
    use std::os::unix::fs::MetadataExt as _;
    // Not in memory: there room is no matter of blocks.
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = dir.path().join("a.log");
    file::create(&files(), &path, unflushed(30)).unwrap();
    // Half an entry, as a process leaves it that is killed.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"half"].concat()).unwrap();
    let (record, log) = LogFile::open(&files(), &path).unwrap().unwrap();
    let mut room = Vec::new();
    for (revision, entry) in (record.revision..).zip(life()) {
        log.append(revision, std::slice::from_ref(&entry)).unwrap();
        let bytes = fs::metadata(&path).unwrap().blocks() * 512;
        match entry {
            Entry::HandoffBegun { .. }
            | Entry::HandoffFailed { .. }
            | Entry::HandoffEnded { .. } => room.push(bytes >= 160 << 10),
            _ => {}
        }
    }
    assert_eq!(room, [true, false, true, false, true, false]);
}
