use std::path::Path;

use rustix::fs::FileType;

use crate::dedup::linux::candidate::{Facts, FileId, Stamp, Traits};
use crate::dedup::linux::index::{Index, Key};

fn facts(ino: u64, size: u64, changed: i64) -> Facts {
    Facts {
        id: FileId { dev: 1, ino },
        stamp: Stamp {
            size,
            modified: 0,
            changed,
        },
        traits: TRAITS,
        links: 1,
        disk: size,
        kind: FileType::RegularFile,
    }
}

const TRAITS: Traits = Traits {
    mode: 0o644,
    uid: 0,
    gid: 0,
};

fn queued(index: &mut Index) -> Vec<u64> {
    std::iter::from_fn(|| index.next())
        .map(|id| id.ino)
        .collect()
}

fn see(index: &mut Index, path: &str, facts: Facts) {
    index.see(Path::new(path), &facts, || None);
}

#[test]
fn a_file_that_is_alone_with_its_size_is_left_alone() {
    let mut index = Index::default();
    see(&mut index, "a", facts(1, 10, 0));
    see(&mut index, "b", facts(2, 11, 0));
    assert!(index.is_idle());
    see(&mut index, "c", facts(3, 10, 0));
    assert_eq!(queued(&mut index), [1, 3]);
    see(&mut index, "d", facts(4, 10, 0));
    assert_eq!(queued(&mut index), [4]);
    let elsewhere = Facts {
        id: FileId { dev: 2, ino: 5 },
        ..facts(5, 11, 0)
    };
    see(&mut index, "e", elsewhere);
    assert!(index.is_idle(), "another filesystem");
}

#[test]
fn what_is_known_is_not_queued_again_unless_it_waits() {
    let mut index = Index::default();
    see(&mut index, "a", facts(1, 10, 0));
    see(&mut index, "b", facts(2, 10, 0));
    assert_eq!(queued(&mut index), [1, 2]);
    see(&mut index, "b", facts(2, 10, 0));
    assert!(index.is_idle());
    index.wait(FileId { dev: 1, ino: 2 });
    see(&mut index, "b", facts(2, 10, 0));
    assert_eq!(queued(&mut index), [2]);
    see(&mut index, "b", facts(2, 10, 1));
    assert_eq!(queued(&mut index), [2], "it has changed");
}

#[test]
fn what_is_not_seen_again_is_forgotten() {
    let mut index = Index::default();
    index.begin();
    see(&mut index, "a", facts(1, 10, 0));
    see(&mut index, "a too", facts(1, 10, 0));
    see(&mut index, "b", facts(2, 20, 0));
    index.end();
    assert_eq!(index.len(), 2);
    index.begin();
    see(&mut index, "a too", facts(1, 10, 0));
    index.end();
    assert_eq!(index.len(), 1);
    let entry = index.get(FileId { dev: 1, ino: 1 }).unwrap();
    assert_eq!(entry.names, [Path::new("a too").into()]);
    // Nor does it make others crowded.
    see(&mut index, "c", facts(3, 20, 0));
    assert!(index.is_idle());
}

#[test]
fn a_keeper_stays_until_it_is_gone() {
    let mut index = Index::default();
    let key = Key::new(1, 10, &[7; 32], None);
    let [one, two] = [1, 2].map(|ino| FileId { dev: 1, ino });
    assert_eq!(index.keeper(key, one), one);
    assert_eq!(index.keeper(key, two), one);
    index.keep(key, two);
    assert_eq!(index.keeper(key, one), two);
    index.begin();
    see(&mut index, "a", facts(1, 10, 0));
    index.end();
    assert_eq!(index.keeper(key, one), one);
}

#[test]
fn a_name_moves_to_the_file_it_is_linked_to() {
    let mut index = Index::default();
    see(&mut index, "a", facts(1, 10, 0));
    see(&mut index, "b", facts(2, 10, 0));
    see(&mut index, "b too", facts(2, 10, 0));
    assert_eq!(queued(&mut index), [1, 2]);
    let (linked, left) = (facts(1, 10, 5), facts(2, 10, 5));
    index.moved(Path::new("b"), &left, &linked);
    assert!(index.knows(&linked) && index.knows(&left));
    assert_eq!(queued(&mut index), [2], "it has one more name");
    index.moved(Path::new("b too"), &left, &linked);
    assert!(index.get(left.id).is_none() && index.is_idle());
    assert_eq!(index.get(linked.id).unwrap().names.len(), 3);
}

#[test]
fn every_property_tells() {
    let of = |mode, modified| {
        let traits = Traits { mode, ..TRAITS };
        Key::new(1, 10, &[7; 32], Some((traits, modified)))
    };
    let keys = [
        Key::new(1, 10, &[7; 32], None),
        Key::new(2, 10, &[7; 32], None),
        Key::new(1, 11, &[7; 32], None),
        Key::new(1, 10, &[8; 32], None),
        of(0o644, None),
        of(0o600, None),
        of(0o644, Some(1)),
        of(0o644, Some(2)),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key), "{at}");
    }
    assert_eq!(of(0o644, Some(1)), of(0o644, Some(1)));
}
