//! `method = "hardlink"`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, setxattr};

use super::{Rig, THEN};
use crate::config::Times;

#[test]
fn copies_become_names_of_one_file() {
    let rig = Rig::new();
    let names = ["a", "b", "sub/c", "sub/deep/d"];
    for name in names {
        rig.write(name, b"the same content");
    }
    rig.write("other", b"not that content");
    rig.work();
    assert_eq!(rig.count(&names), 1);
    assert_eq!((rig.saved.files(), rig.saved.hashed()), (3, 5));
    assert_eq!(rig.saved.bytes(), 3 * 16);
    for name in names {
        assert_eq!(fs::read(rig.path(name)).unwrap(), b"the same content");
        assert_eq!(
            fs::metadata(rig.path(name)).unwrap().modified().unwrap(),
            THEN
        );
    }
    assert_eq!(fs::read(rig.path("other")).unwrap(), b"not that content");
    assert!(rig.is_tidy());
}

#[test]
fn what_would_change_with_it_keeps_a_file_apart() {
    type Change = fn(&Rig);
    let differ: [(&str, Change); 5] = [
        ("mode", |rig| {
            fs::set_permissions(rig.path("b"), Permissions::from_mode(0o600)).unwrap();
        }),
        ("time", |rig| {
            rig.set_modified("b", THEN + Duration::from_nanos(1));
        }),
        ("attribute", |rig| {
            let path = rig.path("b");
            setxattr(path, "user.color", b"red", XattrFlags::empty()).unwrap();
        }),
        ("a name elsewhere", |rig| {
            fs::hard_link(rig.path("b"), rig.dir.path().join("elsewhere")).unwrap();
        }),
        ("a hidden name", |rig| {
            fs::rename(rig.path("b"), rig.path(".b")).unwrap();
            fs::hard_link(rig.path(".b"), rig.path("b")).unwrap();
        }),
    ];
    for (what, change) in differ {
        let rig = Rig::new();
        rig.write("a", b"same");
        rig.write("b", b"same");
        change(&rig);
        rig.work();
        assert_eq!(rig.count(&["a", "b"]), 2, "{what}");
        // It is in nobody's way either.
        rig.write("c", b"same");
        rig.work();
        assert_eq!(rig.count(&["a", "b", "c"]), 2, "{what}");
    }
}

/// The owner can only be changed by root.
#[test]
fn owners_keep_files_apart() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let rig = Rig::new();
    rig.write("a", b"same");
    let path = rig.write("b", b"same");
    std::os::unix::fs::chown(path, Some(12345), None).unwrap();
    rig.work();
    assert_eq!(rig.count(&["a", "b"]), 2);
    assert_eq!(fs::metadata(rig.path("b")).unwrap().uid(), 12345);
}

#[test]
fn the_newest_time_is_shown_by_all_where_that_is_asked_for() {
    let mut rig = Rig::new();
    rig.settings.times = Times::Newest;
    let time = |day: u64| THEN + Duration::from_secs(day * 86_400) + Duration::from_nanos(7);
    for (name, day) in [("a", 2), ("b", 3), ("c", 1)] {
        rig.write(name, b"same");
        rig.set_modified(name, time(day));
    }
    let accessed = fs::metadata(rig.path("a")).unwrap().accessed().unwrap();
    rig.work();
    assert_eq!(rig.count(&["a", "b", "c"]), 1);
    let metadata = fs::metadata(rig.path("c")).unwrap();
    assert_eq!(metadata.modified().unwrap(), time(3));
    assert!(metadata.accessed().unwrap() <= accessed.max(SystemTime::now()));
}

/// Such as a handler has made, or an earlier process that was killed.
#[test]
fn files_with_several_names_become_one() {
    let rig = Rig::new();
    for name in ["a", "b", "c"] {
        rig.write(name, b"same");
    }
    fs::hard_link(rig.path("b"), rig.path("b too")).unwrap();
    for name in ["c too", "c as well"] {
        fs::hard_link(rig.path("c"), rig.path(name)).unwrap();
    }
    let most = rig.ino("c");
    rig.work();
    assert_eq!(
        rig.count(&["a", "b", "b too", "c", "c too", "c as well"]),
        1
    );
    assert_eq!(rig.ino("a"), most);
    assert_eq!((rig.saved.files(), rig.saved.bytes()), (2, 8));
}

#[test]
fn a_new_copy_joins_those_of_an_earlier_process() {
    let rig = Rig::new();
    for name in ["a", "b", "c"] {
        rig.write(name, b"same");
    }
    rig.work();
    let kept = rig.ino("a");
    rig.write("0", b"same");
    rig.work();
    assert_eq!(rig.count(&["0", "a", "b", "c"]), 1);
    assert_eq!(rig.ino("0"), kept);
    assert_eq!(rig.saved.files(), 3);
}

#[test]
fn beside_the_file_where_the_state_is_elsewhere() {
    let memory = Path::new("/dev/shm");
    let mut rig = Rig::new();
    let dev = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    if dev(memory).is_none() || dev(memory) == dev(rig.dir.path()) {
        return;
    }
    let Ok(state) = tempfile::tempdir_in(memory) else {
        return;
    };
    rig.settings.state_dir = state.path().to_owned();
    rig.write("a", b"same");
    rig.write("sub/b", b"same");
    rig.work();
    assert_eq!(rig.count(&["a", "sub/b"]), 1);
    let names = fs::read_dir(rig.path("sub")).unwrap().count();
    assert_eq!(names, 1, "nothing is left over");
}
