use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::FileType;

use crate::dedup::linux::cache::Cache;
use crate::dedup::linux::candidate::{Digest, Facts, FileId, Stamp, Traits};

fn facts(ino: u64) -> Facts {
    Facts {
        id: FileId { dev: 1, ino },
        stamp: Stamp {
            size: ino + 1,
            modified: -5,
            changed: i64::MAX,
        },
        traits: Traits {
            mode: 0,
            uid: 0,
            gid: 0,
        },
        links: 1,
        disk: 0,
        kind: FileType::RegularFile,
    }
}

fn digest(ino: u64) -> Digest {
    [u8::try_from(ino % 251).unwrap(); 32]
}

fn filled(dir: &Path, count: u64) {
    let mut cache = Cache::open(dir);
    for facts in (0..count).map(facts) {
        let shared = facts.id.ino.is_multiple_of(2);
        cache.put(facts.id, &facts.stamp, &digest(facts.id.ino), shared);
    }
}

/// Which of `count` files are known.
fn known(dir: &Path, count: u64) -> Vec<u64> {
    let mut cache = Cache::open(dir);
    let is_known = |ino: &u64| match cache.take(&facts(*ino)) {
        None => false,
        Some(found) => {
            assert_eq!(found, (digest(*ino), ino.is_multiple_of(2)));
            true
        }
    };
    (0..count).filter(is_known).collect()
}

#[test]
fn the_next_process_knows_what_was_computed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("dedup");
    filled(&dir, 3);
    assert_eq!(known(&dir, 4), [0, 1, 2]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("digests"))), (0o700, 0o600));
}

#[test]
fn another_state_of_the_file_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let mut cache = Cache::open(dir.path());
    let states: [fn(&mut Stamp); 3] = [
        |stamp| stamp.size += 1,
        |stamp| stamp.modified += 1,
        |stamp| stamp.changed -= 1,
    ];
    for (ino, change) in (0..).zip(states) {
        let mut facts = facts(ino);
        change(&mut facts.stamp);
        assert_eq!(cache.take(&facts), None);
    }
}

#[test]
fn the_last_word_counts() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1);
    let mut cache = Cache::open(dir.path());
    cache.put(facts(0).id, &facts(0).stamp, &[9; 32], false);
    drop(cache);
    let found = Cache::open(dir.path()).take(&facts(0));
    assert_eq!(found, Some(([9; 32], false)));
}

/// Whatever happens to the file, what is left of it is right, and it is of use again afterwards.
#[test]
fn damage_costs_only_what_it_hits() {
    let whole = {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 3);
        fs::read(dir.path().join("digests")).unwrap()
    };
    for at in 0..whole.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("digests");
        let record = at.checked_sub(16).map(|at| at as u64 / 72);

        fs::write(&path, &whole[..at]).unwrap();
        let expected: Vec<_> = (0..record.unwrap_or(0)).collect();
        assert_eq!(known(dir.path(), 3), expected, "cut at {at}");
        filled(dir.path(), 2);
        assert!(known(dir.path(), 2).len() == 2, "cut at {at}");

        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&path, flipped).unwrap();
        let mut expected = vec![0, 1, 2];
        match record {
            Some(record) => expected.retain(|ino| *ino != record),
            None => expected.clear(),
        }
        assert_eq!(known(dir.path(), 3), expected, "flipped at {at}");
    }
}

#[test]
fn superfluous_records_go() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5000);
    let len = || fs::metadata(dir.path().join("digests")).unwrap().len();
    let long = len();
    let mut cache = Cache::open(dir.path());
    let all = |count| {
        (0..count).map(|ino| {
            (
                facts(ino).id,
                facts(ino).stamp,
                digest(ino),
                ino.is_multiple_of(2),
            )
        })
    };
    cache.settle(3000, all(3000));
    assert_eq!(len(), long, "not worth it");
    cache.settle(10, all(10));
    assert_eq!(len(), 16 + 10 * 72);
    // It goes on in the new file.
    cache.put(facts(10).id, &facts(10).stamp, &digest(10), true);
    assert_eq!(known(dir.path(), 5000), (0..=10).collect::<Vec<_>>());
}

#[test]
fn what_is_asked_for_later_is_kept_for_one_more_look() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2);
    let mut cache = Cache::open(dir.path());
    assert!(cache.knows(&facts(0)) && !cache.knows(&facts(2)));
    cache.defer(facts(0).id);
    cache.settle(2, std::iter::empty());
    assert!(cache.take(&facts(0)).is_some());
    assert!(cache.take(&facts(1)).is_none());
}

#[test]
fn without_a_place_nothing_is_kept_and_nothing_fails() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"no directory").unwrap();
    filled(&file.join("dedup"), 3);
    assert_eq!(known(&file.join("dedup"), 3), [0; 0]);
}
