//! `delivery.mode = "store"`: a directory takes the place of a handler.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::faults::Point;
use super::rig::{CHUNK, KINDS, Kind, Rig, content};
use crate::config::{self, Mode, OnConflict, OnUnknown};
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{Entry, State, Timestamp};

struct Shelf {
    dir: tempfile::TempDir,
    rig: Rig,
}

impl Shelf {
    fn new(kind: Kind, on_conflict: OnConflict, on_unknown: OnUnknown) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rig = Rig::with(kind, |config| {
            config.delivery.mode = Mode::Store;
            config.delivery.storage_path = dir.path().to_owned();
            config.delivery.on_conflict = on_conflict;
            config.delivery.on_unknown = on_unknown;
        });
        Self { dir, rig }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_finished_file_stands_under_its_name() {
    for kind in KINDS {
        let shelf = Shelf::new(kind, OnConflict::Rename, OnUnknown::Retry);
        let rig = &shelf.rig;
        for name in ["data.bin", "data (1).bin"] {
            let id = rig.upload(CHUNK).await;
            let view = rig.send_only(&id).await.unwrap().view;
            assert_eq!(view.state, State::Completed, "{kind:?}");
            assert_eq!(view.stored_name.unwrap().as_str(), name);
            assert!(view.answer.is_none());
            rig.settled(&id).await;
            assert_eq!(fs::read(shelf.file(name)).unwrap(), content(CHUNK));
            assert!(!rig.data_file(&id).exists());
        }
        assert_eq!(shelf.names(), ["data (1).bin", "data.bin"], "{kind:?}");
        assert!(rig.handler.calls().is_empty());
    }
}

#[tokio::test]
async fn an_empty_file_stands_under_its_name_too() {
    for kind in KINDS {
        let shelf = Shelf::new(kind, OnConflict::Rename, OnUnknown::Retry);
        let created = shelf.rig.create(sample::declaration(0), "").await.unwrap();
        assert_eq!(created.view.state, State::Completed, "{kind:?}");
        assert_eq!(fs::read(shelf.file("data.bin")).unwrap(), b"");
    }
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_and_the_older_file_stays() {
    for kind in KINDS {
        let shelf = Shelf::new(kind, OnConflict::Reject, OnUnknown::Retry);
        fs::write(shelf.file("data.bin"), "older").unwrap();
        let id = shelf.rig.upload(CHUNK).await;
        let view = shelf.rig.send_only(&id).await.unwrap().view;
        assert_eq!(view.state, State::Rejected, "{kind:?}");
        let answer = view.answer.unwrap();
        assert_eq!(answer.status, 409);
        assert!(
            String::from_utf8(answer.body.clone())
                .unwrap()
                .contains("\"name_taken\"")
        );
        assert_eq!(fs::read(shelf.file("data.bin")).unwrap(), b"older");
        assert!(
            shelf.rig.data_file(&id).exists(),
            "it may be wanted under another name"
        );
    }
}

#[tokio::test]
async fn a_file_may_be_replaced() {
    for kind in KINDS {
        let shelf = Shelf::new(kind, OnConflict::Overwrite, OnUnknown::Retry);
        fs::write(shelf.file("data.bin"), "older").unwrap();
        let id = shelf.rig.upload(CHUNK).await;
        let view = shelf.rig.send_only(&id).await.unwrap().view;
        assert_eq!(view.state, State::Completed, "{kind:?}");
        assert_eq!(fs::read(shelf.file("data.bin")).unwrap(), content(CHUNK));
        shelf.rig.settled(&id).await;
        assert_eq!(shelf.names(), ["data.bin"]);
    }
}

/// A digest that is wrong must not cost anybody the older file.
#[tokio::test]
async fn a_file_that_is_not_what_was_declared_replaces_nothing() {
    let shelf = Shelf::new(Kind::Disk, OnConflict::Overwrite, OnUnknown::Retry);
    fs::write(shelf.file("data.bin"), "older").unwrap();
    let mut declaration = sample::declaration(CHUNK);
    declaration.digests =
        vec![crate::upload::Hasher::new(crate::upload::Algorithm::Sha256).finish()];
    let id = shelf.rig.create(declaration, "").await.unwrap().id;
    let view = shelf.rig.send_only(&id).await.unwrap().view;
    assert_eq!(view.state, State::Rejected);
    assert_eq!(fs::read(shelf.file("data.bin")).unwrap(), b"older");
    assert_eq!(shelf.names(), ["data.bin"]);
}

/// The process died after the file had its name and before that was on record.
#[tokio::test(start_paused = true)]
async fn a_file_published_by_a_process_that_died_is_not_published_twice() {
    for kind in KINDS {
        for on_conflict in [
            OnConflict::Rename,
            OnConflict::Reject,
            OnConflict::Overwrite,
        ] {
            let shelf = Shelf::new(kind, on_conflict, OnUnknown::Retry);
            let rig = &shelf.rig;
            let id = rig.upload(CHUNK).await;
            rig.engine.drain().await;
            rig.send_only(&id).await.unwrap();
            let at = Timestamp::from(SystemTime::now());
            let opened = rig.store().open(id.key()).await.unwrap().unwrap();
            let entries = vec![Entry::Sealed { at }, Entry::HandoffBegun { at }];
            opened
                .log
                .append(opened.record.revision, entries)
                .await
                .unwrap();
            fs::hard_link(rig.data_file(&id), shelf.file("data.bin")).unwrap();
            let next = rig.again(|_| {});
            next.engine.recover(Some(&next.deliver())).await;
            next.settled(&id).await;
            let view = next.view(&id).await.unwrap();
            assert_eq!(view.state, State::Completed, "{kind:?} {on_conflict:?}");
            assert_eq!(view.stored_name.unwrap().as_str(), "data.bin");
            assert_eq!(shelf.names(), ["data.bin"], "{kind:?} {on_conflict:?}");
            assert_eq!(fs::read(shelf.file("data.bin")).unwrap(), content(CHUNK));
            assert!(!next.data_file(&id).exists());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_take_the_file_is_asked_again() {
    for kind in KINDS {
        let shelf = Shelf::new(kind, OnConflict::Rename, OnUnknown::Retry);
        shelf
            .rig
            .faults
            .fail(Point::Publish, std::io::ErrorKind::StorageFull);
        let id = shelf.rig.upload(CHUNK).await;
        shelf.rig.send_only(&id).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(shelf.rig.state(&id).await, State::Completed, "{kind:?}");
        assert_eq!(shelf.names(), ["data.bin"]);
    }
}

/// Nothing is unknown about a publication: asked again, it finds what it did.
#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_take_the_file_is_asked_again_under_hold() {
    let shelf = Shelf::new(Kind::Disk, OnConflict::Rename, OnUnknown::Hold);
    shelf
        .rig
        .faults
        .fail(Point::Publish, std::io::ErrorKind::StorageFull);
    let id = shelf.rig.upload(CHUNK).await;
    shelf.rig.send_only(&id).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(shelf.rig.state(&id).await, State::Completed);
}

/// A process that died while it copied leaves a part behind; whatever ends the upload, ends it.
#[tokio::test(start_paused = true)]
async fn a_part_goes_with_its_upload() {
    for kind in KINDS {
        for give_up in [false, true] {
            let shelf = Shelf::new(kind, OnConflict::Rename, OnUnknown::Retry);
            let rig = &shelf.rig;
            rig.faults.fail(Point::Publish, std::io::ErrorKind::Other);
            let id = rig.upload(CHUNK).await;
            let view = rig.send_only(&id).await.unwrap().view;
            assert_eq!(view.state, State::Undelivered);
            fs::create_dir(shelf.file(".steadfast")).unwrap();
            fs::write(shelf.file(&format!(".steadfast/{}.part", id.key())), "x").unwrap();
            if give_up {
                rig.engine.cancel(&id).await.unwrap();
            } else {
                rig.engine.drain().await;
                rig.pass(Duration::from_secs(25 * 3_600));
                rig.engine.sweep().await;
            }
            assert!(shelf.names().is_empty(), "{kind:?} {give_up}");
        }
    }
}

/// The bytes rotted where they waited, and the file could not simply be linked.
#[tokio::test(start_paused = true)]
async fn a_copy_that_shows_rot_asks_for_the_bytes_again() {
    for kind in KINDS {
        let shelf = Shelf::new(kind, OnConflict::Rename, OnUnknown::Hold);
        let rig = &shelf.rig;
        rig.faults
            .fail(Point::Publish, std::io::ErrorKind::InvalidData);
        let id = rig.nearly(2 * CHUNK).await;
        fs::write(rig.data_file(&id), "xxxxxxxxxx").unwrap();
        let last = super::rig::chunk(2 * CHUNK, 1);
        let view = rig.send(&id, 1, &last).await.unwrap().view;
        assert_eq!((view.state, view.uploaded), (State::Receiving, CHUNK));
        let first = super::rig::chunk(2 * CHUNK, 0);
        let view = rig.send(&id, 0, &first).await.unwrap().view;
        assert_eq!(view.state, State::Completed, "{kind:?}");
        assert_eq!(
            fs::read(shelf.file("data.bin")).unwrap(),
            content(2 * CHUNK)
        );
    }
}

/// Asked again, the publication would find done what the disk may have lost.
#[tokio::test(start_paused = true)]
async fn a_publication_that_could_not_be_flushed_is_not_tried_again() {
    use std::io::ErrorKind::{Other, StorageFull};
    for (kind, error) in [
        (Kind::Memory, Other),
        (Kind::Disk, Other),
        (Kind::Disk, StorageFull),
    ] {
        let shelf = Shelf::new(kind, OnConflict::Rename, OnUnknown::Retry);
        let rig = &shelf.rig;
        rig.faults.fail(Point::PublishFlush, error);
        let id = rig.upload(CHUNK).await;
        let sent = rig.send_only(&id).await;
        assert!(sent.is_err() || sent.unwrap().view.state != State::Completed);
        assert!(rig.engine.has_failed(), "{kind:?}");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(rig.faults.count(Point::Publish), 1, "{kind:?}");
        let create = rig.create(sample::declaration(1), "").await;
        assert_eq!(create.unwrap_err(), Refusal::Unavailable);
        let record = rig.store().read(id.key()).await.unwrap().unwrap();
        assert_eq!(record.ended, None);
    }
}

#[tokio::test]
async fn a_file_is_published_as_durably_as_its_upload_was_promised() {
    use config::Durability::{Power, Process};
    for (created, restarted) in [(Power, Process), (Process, Power)] {
        let shelf = Shelf::new(Kind::Disk, OnConflict::Rename, OnUnknown::Retry);
        let first = shelf
            .rig
            .again(|config| config.uploads.durability = created);
        let id = first.upload(CHUNK).await;
        let next = first.again(|config| config.uploads.durability = restarted);
        let view = next.send_only(&id).await.unwrap().view;
        assert_eq!(view.state, State::Completed);
        let durable = next.faults.durable.lock().unwrap().clone();
        assert_eq!(durable, [created == Power]);
    }
}
