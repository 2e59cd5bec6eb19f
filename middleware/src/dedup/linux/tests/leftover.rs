//! What a kill leaves behind, made by hand.

use std::fs;
use std::path::{Path, PathBuf};

use super::Rig;
use crate::dedup::linux::swap::Label;

/// A name of ours for putting `keeper` in the place of `copy`: in the state directory, or beside it.
fn place(rig: &Rig, beside: bool) -> PathBuf {
    let label = Label::new(rig.ino("keeper"), Path::new("sub/copy"));
    let temporary = match beside {
        true => rig.path("sub").join(label.name()),
        false => rig.scratch().join(label.name()),
    };
    fs::hard_link(rig.path("keeper"), &temporary).unwrap();
    temporary
}

fn exchange(rig: &Rig, temporary: &Path) {
    let cwd = rustix::fs::CWD;
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(cwd, temporary, cwd, rig.path("sub/copy"), flags).unwrap();
}

/// Two files with the same content that must not be linked by themselves, and a state directory.
fn each(test: impl Fn(&Rig, PathBuf)) {
    for beside in [false, true] {
        let rig = Rig::new();
        rig.work();
        rig.write("keeper", b"same");
        rig.write("sub/copy", b"same");
        rig.set_modified("sub/copy", std::time::SystemTime::now());
        let temporary = place(&rig, beside);
        test(&rig, temporary);
    }
}

#[test]
fn before_the_names_were_exchanged() {
    each(|rig, _| {
        let before = rig.ino("sub/copy");
        rig.work();
        assert!(rig.is_tidy());
        assert_eq!(rig.ino("sub/copy"), before);
        assert_eq!(fs::read(rig.path("keeper")).unwrap(), b"same");
    });
}

#[test]
fn after_the_names_were_exchanged() {
    each(|rig, temporary| {
        exchange(rig, &temporary);
        rig.work();
        assert!(rig.is_tidy() && !temporary.exists());
        assert_eq!(rig.ino("sub/copy"), rig.ino("keeper"));
    });
}

#[test]
fn what_somebody_put_there_just_before_goes_back() {
    each(|rig, temporary| {
        rig.write("new", b"other");
        fs::rename(rig.path("new"), rig.path("sub/copy")).unwrap();
        exchange(rig, &temporary);
        assert_eq!(fs::read(rig.path("sub/copy")).unwrap(), b"same");
        rig.work();
        assert!(rig.is_tidy() && !temporary.exists());
        assert_eq!(fs::read(rig.path("sub/copy")).unwrap(), b"other");
    });
}

#[test]
fn what_was_put_there_since_stays() {
    each(|rig, temporary| {
        exchange(rig, &temporary);
        rig.write("new", b"newer");
        fs::rename(rig.path("new"), rig.path("sub/copy")).unwrap();
        rig.work();
        assert!(rig.is_tidy() && !temporary.exists());
        assert_eq!(fs::read(rig.path("sub/copy")).unwrap(), b"newer");
    });
}

#[test]
fn a_name_that_is_gone_stays_gone() {
    each(|rig, temporary| {
        exchange(rig, &temporary);
        fs::remove_file(rig.path("sub/copy")).unwrap();
        rig.work();
        assert!(rig.is_tidy() && !temporary.exists());
        assert!(!rig.path("sub/copy").exists());
        assert_eq!(fs::read(rig.path("keeper")).unwrap(), b"same");
    });
}

/// Nobody can tell where it belongs: it is not thrown away.
#[test]
fn what_is_nowhere_else_is_not_removed() {
    each(|rig, temporary| {
        rig.write("new", b"other");
        fs::rename(rig.path("new"), rig.path("sub/copy")).unwrap();
        exchange(rig, &temporary);
        fs::rename(rig.path("sub/copy"), rig.path("moved")).unwrap();
        rig.work();
        assert_eq!(fs::read(temporary).unwrap(), b"other");
    });
}

#[test]
fn foreign_names_stay() {
    each(|rig, _| {
        let foreign = rig.write(".steadfast-dedup-notes", b"mine");
        rig.work();
        assert_eq!(fs::read(foreign).unwrap(), b"mine");
    });
}
