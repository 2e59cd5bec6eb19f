//! The worker as a whole.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Rig, THEN};
use crate::config::Method;
use crate::dedup::linux::worker::Worker;

/// Works until `done`: what changes is told by another thread.
fn until(worker: &mut Worker, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not in time");
        let _ = worker.turn().unwrap();
        std::thread::yield_now();
    }
}

#[test]
fn what_comes_later_is_noticed() {
    let rig = Rig::new();
    let mut worker = rig.worker();
    assert!(worker.turn().unwrap());
    rig.write("a", b"same");
    rig.write("new/b", b"same");
    until(&mut worker, || rig.count(&["a", "new/b"]) == 1);
    // As are directories that are moved here with all that is in them.
    let moved = rig.dir.path().join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(rig.write("c", b"same"), moved.join("c")).unwrap();
    fs::rename(&moved, rig.path("moved")).unwrap();
    until(&mut worker, || rig.count(&["a", "moved/c"]) == 1);
}

#[test]
fn a_directory_that_is_made_later_is_found() {
    let rig = Rig::new();
    fs::remove_dir(rig.path("")).unwrap();
    let mut worker = rig.worker();
    assert!(worker.turn().unwrap());
    rig.write("a", b"same");
    rig.write("b", b"same");
    until(&mut worker, || rig.count(&["a", "b"]) == 1);
    // As is another one in its place.
    fs::rename(rig.path(""), rig.dir.path().join("old")).unwrap();
    rig.write("a", b"other");
    rig.write("b", b"other");
    until(&mut worker, || rig.count(&["a", "b"]) == 1);
}

#[test]
fn a_file_that_is_open_for_writing_is_left_alone() {
    let rig = Rig::new();
    rig.write("a", b"same");
    let path = rig.write("b", b"same");
    let mut writer = OpenOptions::new().append(true).open(path).unwrap();
    let mut worker = rig.worker();
    while !worker.turn().unwrap() {}
    assert_eq!(rig.count(&["a", "b"]), 2);
    assert!(rig.saved.hashed() <= 1, "it is not even read");
    writer.write_all(b" no more").unwrap();
    drop(writer);
    rig.write("c", b"same no more");
    rig.set_modified("b", THEN);
    until(&mut worker, || rig.count(&["b", "c"]) == 1);
    assert_eq!(fs::read(rig.path("b")).unwrap(), b"same no more");
    assert_eq!(fs::read(rig.path("a")).unwrap(), b"same");
}

#[test]
fn a_file_that_is_still_changing_is_left_alone() {
    let mut rig = Rig::new();
    rig.settings.quiet = Duration::from_secs(3600);
    rig.write("a", b"same");
    rig.write("b", b"same");
    rig.work();
    assert_eq!((rig.count(&["a", "b"]), rig.saved.hashed()), (2, 0));
}

#[test]
fn only_files_up_to_the_limit_are_read() {
    let mut rig = Rig::new();
    rig.settings.size_max = 10;
    for (name, len) in [
        ("a", 10),
        ("b", 10),
        ("c", 11),
        ("d", 11),
        ("e", 0),
        ("f", 0),
    ] {
        rig.write(name, &vec![7; len]);
    }
    rig.work();
    assert_eq!(rig.count(&["a", "b"]), 1);
    assert_eq!(rig.count(&["c", "d", "e", "f"]), 4);
    assert_eq!(rig.saved.hashed(), 2);
}

#[test]
fn nothing_is_read_again_at_the_next_start() {
    let rig = Rig::new();
    for name in ["a", "b", "c", "d"] {
        rig.write(name, b"same");
    }
    for name in ["e", "f"] {
        rig.write(name, name.as_bytes());
    }
    rig.work();
    assert_eq!((rig.saved.files(), rig.saved.hashed()), (3, 6));
    rig.work();
    assert_eq!((rig.saved.files(), rig.saved.hashed()), (3, 6));
    // Only what has changed, and what it meets.
    rig.write("e", b"f");
    rig.work();
    assert_eq!(rig.saved.hashed(), 7);
    assert_eq!(rig.count(&["e", "f"]), 1);
}

/// As a cache that belongs to other files.
#[test]
fn a_wrong_digest_is_found_out() {
    let rig = Rig::new();
    rig.write("a", b"one thing");
    rig.write("b", b"the other");
    rig.work();
    let path = rig.dir.path().join("state/dedup/digests");
    let mut bytes = fs::read(&path).unwrap();
    let (first, second) = bytes[16..].split_at_mut(72);
    second[32..64].copy_from_slice(&first[32..64]);
    let checksum = crate::upload::Crc32c::of(&second[..68]);
    second[68..72].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let mut worker = rig.worker();
    until(&mut worker, || rig.saved.hashed() == 4);
    while !worker.turn().unwrap() {}
    assert_eq!(rig.count(&["a", "b"]), 2);
    assert_eq!(fs::read(rig.path("b")).unwrap(), b"the other");
    rig.work();
    assert_eq!(rig.saved.hashed(), 4, "the right ones are kept");
}

#[test]
fn without_reflinks_nothing_is_read() {
    let memory = Path::new("/dev/shm");
    let Ok(dir) = tempfile::tempdir_in(memory) else {
        return;
    };
    let mut rig = Rig::new();
    rig.settings.method = Method::Reflink;
    rig.settings.directory = dir.path().to_owned();
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(name), b"same").unwrap();
    }
    rig.work();
    assert_eq!((rig.saved.files(), rig.saved.hashed()), (0, 0));
}

#[test]
fn content_larger_than_a_piece_is_compared_to_its_end() {
    let rig = Rig::new();
    let mut content = vec![7; (2 << 20) + 13];
    rig.write("a", &content);
    rig.write("b", &content);
    *content.last_mut().unwrap() = 8;
    rig.write("c", &content);
    rig.work();
    assert_eq!(rig.count(&["a", "b"]), 1);
    assert_eq!(rig.count(&["a", "c"]), 2);
    assert!(fs::read(rig.path("c")).unwrap() == content);
}

/// A handler that replaces its files by renaming others over them does so while they are linked.
#[test]
fn what_is_put_in_the_place_of_a_copy_stays() {
    const NAMES: usize = 4;
    let rig = Rig::new();
    let holds = |at: usize, content: u32| {
        let read = fs::read(rig.path(at.to_string())).unwrap();
        read == content.to_string().as_bytes()
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut last = [None; NAMES];
            for round in 0..10_000_u32 {
                // No pattern that the worker could fall in step with.
                let drawn = round.wrapping_mul(0x9E37_79B9) >> 16;
                let (at, content) = (drawn as usize % NAMES, drawn >> 8 & 1);
                if let Some(last) = last[at].replace(content) {
                    // What it replaced may be seen for the moment that it takes to put it back.
                    let deadline = Instant::now() + Duration::from_secs(5);
                    while !holds(at, last) {
                        assert!(
                            Instant::now() < deadline,
                            "round {round}: {at} is not {last}"
                        );
                    }
                }
                rig.write(".new", content.to_string().as_bytes());
                fs::rename(rig.path(".new"), rig.path(at.to_string())).unwrap();
            }
        });
        let mut worker = rig.worker();
        while !writer.is_finished() {
            let _ = worker.turn().unwrap();
        }
        writer.join().unwrap();
    });
    assert!(rig.saved.files() > 0 && rig.is_tidy());
}
