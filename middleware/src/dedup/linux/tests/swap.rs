use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::Rig;
use crate::dedup::linux::swap::{Label, swap};
use crate::dedup::linux::tree::Tree;
use crate::dedup::linux::trouble::Trouble;

/// Names: `temporary` of the keeper, `target` of the copy.
fn prepared() -> (Rig, u64, u64) {
    let rig = Rig::new();
    rig.write("keeper", b"same");
    rig.write("target", b"same");
    fs::hard_link(rig.path("keeper"), rig.path("temporary")).unwrap();
    let (keeper, copy) = (rig.ino("keeper"), rig.ino("target"));
    (rig, keeper, copy)
}

fn swapped(
    rig: &Rig,
    placed: u64,
    expected: u64,
    is_wanted: impl FnOnce() -> bool,
) -> Result<bool, Trouble> {
    let tree = Tree::open(&rig.path("")).unwrap();
    let [temporary, target] =
        ["temporary", "target"].map(|name| tree.spot(Path::new(name)).unwrap());
    swap(&temporary, &target, placed, expected, is_wanted)
}

#[test]
fn what_is_as_expected_is_replaced() {
    let (rig, keeper, copy) = prepared();
    assert!(swapped(&rig, keeper, copy, || true).unwrap());
    assert_eq!((rig.ino("target"), rig.ino("temporary")), (keeper, copy));
}

#[test]
fn what_somebody_put_there_stays() {
    let (rig, keeper, copy) = prepared();
    rig.write("new", b"new");
    fs::rename(rig.path("new"), rig.path("target")).unwrap();
    assert!(!swapped(&rig, keeper, copy, || true).unwrap());
    assert_eq!(fs::read(rig.path("target")).unwrap(), b"new");
    assert_eq!(rig.ino("temporary"), keeper, "which may go");
}

#[test]
fn what_is_wanted_no_more_is_undone() {
    let (rig, keeper, copy) = prepared();
    assert!(!swapped(&rig, keeper, copy, || false).unwrap());
    assert_eq!((rig.ino("target"), rig.ino("temporary")), (copy, keeper));
}

/// Somebody replaces the name between the exchange and its undoing.
#[test]
fn the_newest_stays() {
    let (rig, keeper, copy) = prepared();
    rig.write("new", b"new");
    let replace = || {
        fs::rename(rig.path("new"), rig.path("target")).unwrap();
        false
    };
    assert!(!swapped(&rig, keeper, copy, replace).unwrap());
    assert_eq!(fs::read(rig.path("target")).unwrap(), b"new");
    assert_eq!(rig.ino("temporary"), copy, "which was replaced");
}

#[test]
fn a_name_that_is_gone_does_not_come_back() {
    let (rig, keeper, copy) = prepared();
    fs::remove_file(rig.path("target")).unwrap();
    assert!(matches!(
        swapped(&rig, keeper, copy, || true),
        Err(Trouble::Changed)
    ));
    assert!(!rig.path("target").exists());
    assert_eq!(rig.ino("temporary"), keeper);
}

#[test]
fn labels_read_back() {
    for (keeper, path) in [(0, ""), (1, "a"), (u64::MAX, "sub/grüße.bin")] {
        let label = Label::new(keeper, Path::new(path));
        assert_eq!(Label::parse(OsStr::new(&label.name())), Some(label));
        assert!(label.name().starts_with(".steadfast-dedup-") && label.name().len() < 60);
    }
    for name in [
        "",
        ".steadfast-dedup-",
        ".steadfast-dedup-x-1",
        ".steadfast-dedup-1",
        "1-1",
    ] {
        assert_eq!(Label::parse(OsStr::new(name)), None, "{name}");
    }
}
