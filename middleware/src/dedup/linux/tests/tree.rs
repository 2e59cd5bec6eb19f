use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Rig, pace};
use crate::dedup::linux::tree::Tree;
use crate::dedup::linux::trouble::Trouble;

fn seen(tree: &Tree) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let left = tree.walk(Path::new(""), &mut pace(), |path, _| {
        all.push(path.to_owned());
    });
    assert!(left.unwrap().is_empty());
    all.sort();
    all
}

#[test]
fn links_and_hidden_names_are_passed_over() {
    let rig = Rig::new();
    for name in ["a", "sub/b", "sub/deep/c", ".hidden", ".dir/d"] {
        rig.write(name, b"x");
    }
    let outside = rig.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("e"), b"x").unwrap();
    symlink(&outside, rig.path("dir link")).unwrap();
    symlink(outside.join("e"), rig.path("file link")).unwrap();
    let _listening = std::os::unix::net::UnixListener::bind(rig.path("socket")).unwrap();
    let tree = Tree::open(&rig.path("")).unwrap();
    assert_eq!(seen(&tree), ["a", "sub/b", "sub/deep/c"].map(PathBuf::from));
    // Nor are they opened by their names.
    for path in ["dir link/e", "file link", "socket", "sub", "missing"] {
        let opened = tree.candidate(Path::new(path));
        assert!(matches!(opened, Err(Trouble::Changed)), "{path}");
    }
    for path in ["/etc/passwd", "../outside/e", "sub/../../outside/e", ""] {
        assert!(tree.candidate(Path::new(path)).is_err(), "{path}");
    }
    assert_eq!(
        &*tree.candidate(Path::new("sub/b")).unwrap().path,
        Path::new("sub/b")
    );
}

#[test]
fn a_directory_that_was_replaced_is_told_from_the_new_one() {
    let rig = Rig::new();
    let files = rig.path("");
    let tree = Tree::open(&files).unwrap();
    assert!(tree.is_at(&files));
    fs::rename(&files, rig.dir.path().join("old")).unwrap();
    assert!(!tree.is_at(&files));
    fs::create_dir(&files).unwrap();
    assert!(!tree.is_at(&files));
}

#[test]
fn many_entries_come_in_several_pieces() {
    let rig = Rig::new();
    for number in 0..200 {
        rig.write(&format!("{number:03}"), b"x");
    }
    let tree = Tree::open(&rig.path("")).unwrap();
    assert_eq!(seen(&tree).len(), 200);
}
