//! The process may die between a publication and its record; the next one publishes again.

use std::{fs, io};

use super::{Filesystem, NO_LINKS, Place, SYSTEM, files};
use crate::blob::Blobs as _;
use crate::blob::OnConflict::{Overwrite, Reject, Rename};

#[tokio::test]
async fn published_again_before_it_is_settled_a_file_is_there_once() {
    for on_conflict in [Rename, Reject, Overwrite] {
        for place in Place::all() {
            let key = place.receive(1, "content").await;
            for _ in 0..3 {
                let name = place.publish(key, "a.txt", on_conflict).await;
                assert_eq!(name.as_deref(), Some("a.txt"), "{}", place.what);
                assert_eq!(
                    place.files(),
                    files(&[("a.txt", "content")]),
                    "{}",
                    place.what
                );
            }
            for _ in 0..2 {
                place.settle(key).await;
            }
            assert_eq!(
                place.everything(),
                files(&[("a.txt", "content")]),
                "{}",
                place.what
            );
            assert_eq!(place.data_files(), 0, "{}", place.what);
        }
    }
}

#[tokio::test]
async fn a_numbered_file_finds_its_number_again() {
    for place in Place::all() {
        place.put("a.txt", "older");
        place.put("a (1).txt", "older");
        let key = place.receive(1, "content").await;
        for _ in 0..3 {
            let name = place.publish(key, "a.txt", Rename).await;
            assert_eq!(name.as_deref(), Some("a (2).txt"), "{}", place.what);
        }
        place.settle(key).await;
        let expected = [
            ("a.txt", "older"),
            ("a (1).txt", "older"),
            ("a (2).txt", "content"),
        ];
        assert_eq!(place.everything(), files(&expected), "{}", place.what);
    }
}

#[tokio::test]
async fn a_numbered_file_keeps_its_number_when_the_older_file_goes_meanwhile() {
    for place in Place::all() {
        place.put("a.txt", "older");
        let key = place.receive(1, "content").await;
        place.publish(key, "a.txt", Rename).await.unwrap();
        fs::remove_file(place.dir().join("a.txt")).unwrap();
        place.publish(key, "a.txt", Rename).await.unwrap();
        place.settle(key).await;
        assert_eq!(
            place.everything().len(),
            1,
            "{}: {:?}",
            place.what,
            place.everything()
        );
    }
}

#[tokio::test]
async fn a_settled_file_may_be_changed_without_harm_to_anything_of_ours() {
    for place in Place::all() {
        let key = place.receive(1, "content").await;
        place.publish(key, "a.txt", Rename).await.unwrap();
        place.settle(key).await;
        place.put("a.txt", "changed");
        let key = place.receive(1, "content").await;
        let name = place.publish(key, "a.txt", Rename).await;
        assert_eq!(name.as_deref(), Some("a (1).txt"), "{}", place.what);
    }
}

/// The copy to another filesystem was cut short.
#[tokio::test]
async fn half_a_copy_is_made_anew() {
    for on_conflict in [Rename, Reject, Overwrite] {
        for place in Place::all() {
            let key = place.receive(1, "content").await;
            fs::create_dir(place.dir().join(".steadfast")).unwrap();
            place.put(&format!(".steadfast/{key}.part"), "cont");
            let name = place.publish(key, "a.txt", on_conflict).await;
            assert_eq!(name.as_deref(), Some("a.txt"), "{}", place.what);
            assert_eq!(
                place.files(),
                files(&[("a.txt", "content")]),
                "{}",
                place.what
            );
            place.settle(key).await;
            assert_eq!(
                place.everything(),
                files(&[("a.txt", "content")]),
                "{}",
                place.what
            );
        }
    }
}

/// What a process does in a step, and whether it dies before or after it.
type Step = fn(Filesystem) -> Filesystem;

const STEPS: [Step; 4] = [
    |system| Filesystem {
        link: |_, _| Err(died()),
        ..system
    },
    |system| Filesystem {
        link: |from, to| fs::hard_link(from, to).and_then(|()| Err(died())),
        ..system
    },
    |system| Filesystem {
        rename: |_, _| Err(died()),
        ..system
    },
    |system| Filesystem {
        rename: |from, to| (SYSTEM.rename)(from, to).and_then(|()| Err(died())),
        ..system
    },
];

fn died() -> io::Error {
    io::Error::other("the process dies here")
}

#[tokio::test]
async fn cut_short_at_any_step_a_publication_is_made_once() {
    for on_conflict in [Rename, Reject] {
        for step in STEPS {
            for place in Place::all() {
                let key = place.receive(1, "content").await;
                place.put("b.txt", "older");
                // Where a call is not made, nothing is cut short.
                let _ = place.try_publish(step(place.system), key, "a.txt", on_conflict);
                let name = place.publish(key, "a.txt", on_conflict).await;
                assert_eq!(name.as_deref(), Some("a.txt"), "{}", place.what);
                place.settle(key).await;
                let expected = [("a.txt", "content"), ("b.txt", "older")];
                assert_eq!(place.everything(), files(&expected), "{}", place.what);
                assert_eq!(place.data_files(), 0, "{}", place.what);
            }
        }
    }
}

/// Whoever takes files from the directory does not wait for our record.
#[tokio::test]
async fn a_file_that_was_moved_there_and_taken_away_is_not_put_there_again() {
    for on_conflict in [Rename, Reject, Overwrite] {
        let place = Place::new("", tempfile::tempdir().unwrap()).on("no links", NO_LINKS);
        let key = place.receive(1, "content").await;
        place.publish(key, "a.txt", on_conflict).await.unwrap();
        fs::remove_file(place.dir().join("a.txt")).unwrap();
        place.put("a.txt", "another");
        let name = place.publish(key, "a.txt", on_conflict).await;
        assert_eq!(name.as_deref(), Some("a.txt"));
        place.settle(key).await;
        assert_eq!(place.everything(), files(&[("a.txt", "another")]));
    }
}

/// The upload was given up, or nobody wanted it for too long.
#[tokio::test]
async fn a_publication_that_is_given_up_leaves_nothing_behind() {
    for on_conflict in [Rename, Reject, Overwrite] {
        for step in STEPS {
            for place in Place::all() {
                let key = place.receive(1, "content").await;
                let other = place.receive(2, "other").await;
                let _ = place.try_publish(step(place.system), other, "b.txt", on_conflict);
                let published = place.try_publish(step(place.system), key, "a.txt", on_conflict);
                for key in [key, other] {
                    place.settle(key).await;
                }
                let ours = place.dir().join(".steadfast");
                assert!(!ours.exists(), "{}: {published:?}", place.what);
                assert_eq!(place.data_files(), 0);
            }
        }
    }
}

/// A refused upload is removed later, when it is cancelled or expires.
#[tokio::test]
async fn a_refused_file_leaves_nothing_behind_when_it_is_removed() {
    for place in Place::all() {
        place.put("a.txt", "older");
        let key = place.receive(1, "newer").await;
        assert_eq!(place.publish(key, "a.txt", Reject).await, None);
        place.local.remove(key).await.unwrap();
        assert_eq!(
            place.everything(),
            files(&[("a.txt", "older")]),
            "{}",
            place.what
        );
    }
}
