//! What a process that died left behind, and the next one clears away.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Point;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::config::Mode;
use crate::upload::State;
use crate::upload::tests::sample;

async fn clear_away(rig: &Rig) {
    rig.engine.recover(None).await;
    rig.engine.remove_orphans().await.unwrap();
}

/// A process that died between the last entry and the removal of the bytes.
#[tokio::test]
async fn bytes_of_uploads_that_ended_go() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let completed = rig.upload(CHUNK).await;
        rig.send_only(&completed).await.unwrap();
        let cancelled = rig.nearly(2 * CHUNK).await;
        rig.engine.cancel(&cancelled).await.unwrap();
        rig.handler.will_answer([422]);
        let rejected = rig.upload(CHUNK).await;
        rig.send_only(&rejected).await.unwrap();
        let unfinished = rig.nearly(2 * CHUNK).await;
        for id in [&completed, &cancelled] {
            assert!(!rig.data_file(id).exists());
            fs::write(rig.data_file(id), content(CHUNK)).unwrap();
        }
        let next = rig.again(|_| {});
        clear_away(&next).await;
        for id in [&completed, &cancelled] {
            assert!(!next.data_file(id).exists(), "{kind:?}");
        }
        assert_eq!(next.state(&completed).await, State::Completed);
        for id in [&rejected, &unfinished] {
            assert!(next.data_file(id).exists(), "{kind:?}: they may be wanted");
        }
        next.send(&unfinished, 1, &chunk(2 * CHUNK, 1))
            .await
            .unwrap();
        assert_eq!(next.handler.calls()[0].bytes, content(2 * CHUNK));
    }
}

#[tokio::test]
async fn the_second_name_of_a_published_file_goes() {
    let stored = tempfile::tempdir().unwrap();
    let rig = Rig::with(Kind::Disk, |config| {
        config.delivery.mode = Mode::Store;
        config.delivery.storage_path = stored.path().to_owned();
    });
    let id = rig.upload(CHUNK).await;
    rig.send_only(&id).await.unwrap();
    fs::hard_link(stored.path().join("data.bin"), rig.data_file(&id)).unwrap();
    let staging = stored.path().join(".steadfast");
    fs::create_dir(&staging).unwrap();
    let part = staging.join(format!("{}.part", id.key()));
    fs::write(&part, "").unwrap();
    let next = rig.again(|_| {});
    clear_away(&next).await;
    assert!(!next.data_file(&id).exists());
    assert!(!part.exists());
    assert_eq!(
        fs::read(stored.path().join("data.bin")).unwrap(),
        content(CHUNK)
    );
}

#[tokio::test]
async fn what_a_create_that_was_cut_short_left_goes() {
    for kind in [Kind::Disk, Kind::DiskBlocking] {
        for len in [0, 10, 24, 60] {
            let rig = Rig::new(kind);
            let id = rig.nearly(2 * CHUNK).await;
            let bytes = fs::read(rig.log_file(&id)).unwrap();
            fs::write(rig.log_file(&id), &bytes[..len]).unwrap();
            let next = rig.again(|_| {});
            clear_away(&next).await;
            assert_eq!(next.engine.sessions(), 0, "{kind:?} {len}");
            assert!(!next.log_file(&id).exists(), "{kind:?} {len}");
            assert!(!next.data_file(&id).exists(), "{kind:?} {len}");
        }
    }
}

/// Bytes without a log belong to nobody, until somebody creates that upload.
#[tokio::test(start_paused = true)]
async fn bytes_that_come_while_others_are_cleared_away_stay() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.nearly(2 * CHUNK).await;
        rig.store().remove(id.key()).await.unwrap();
        let next = Arc::new(rig.again(|_| {}));
        next.faults.store_read.shut();
        let engine = Arc::clone(&next.engine);
        let clearing = tokio::spawn(async move { engine.remove_orphans().await });
        // It has seen that there is no such upload.
        next.faults.store_read.holds(1).await;
        next.faults.store_read.open_for_others();
        let (other, key) = (Arc::clone(&next), id.clone());
        let mut sending = tokio::spawn(async move {
            let declaration = sample::declaration(2 * CHUNK);
            other
                .create_as(key.clone(), true, declaration, "")
                .await
                .unwrap();
            let bytes = chunk(2 * CHUNK, 0);
            other.send(&key, 0, &bytes).await.unwrap();
        });
        // Whoever does not have to wait is done by then.
        let early = tokio::time::timeout(Duration::from_secs(10), &mut sending).await;
        next.faults.store_read.open();
        clearing.await.unwrap().unwrap();
        if early.is_err() {
            sending.await.unwrap();
        }
        let next = next.again(|_| {});
        next.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        assert_eq!(next.state(&id).await, State::Completed, "{kind:?}");
        assert_eq!(next.handler.calls()[0].bytes, content(2 * CHUNK));
    }
}

/// Nothing of an upload is made durable or read back only to be removed.
#[tokio::test]
async fn what_has_expired_is_removed_without_being_opened() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(3 * CHUNK).await;
    let next = rig.again(|_| {});
    next.engine.recover(None).await;
    next.pass(Duration::from_secs(25 * 3_600));
    next.engine.sweep().await;
    assert!(!next.log_file(&id).exists());
    assert!(!next.data_file(&id).exists());
    for point in [Point::BlobFlush, Point::LogFlush, Point::BlobRead] {
        assert_eq!(next.faults.count(point), 0, "{point:?}");
    }
}

/// Data first, log last: bytes that stay have a log that says whose they were.
#[tokio::test(start_paused = true)]
async fn an_upload_whose_bytes_cannot_be_removed_is_removed_later() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.nearly(3 * CHUNK).await;
        rig.pass(Duration::from_secs(25 * 3_600));
        rig.faults
            .fail(Point::BlobRemove, std::io::ErrorKind::Other);
        rig.engine.sweep().await;
        assert!(rig.store().read(id.key()).await.unwrap().is_some());
        assert!(rig.data_file(&id).exists());
        assert_eq!(rig.engine.sessions(), 1, "{kind:?}: it takes room");
        rig.pass(Duration::from_secs(3_600));
        rig.engine.sweep().await;
        assert!(rig.store().read(id.key()).await.unwrap().is_none());
        assert!(!rig.data_file(&id).exists());
        assert_eq!(rig.engine.sessions(), 0, "{kind:?}");
    }
}
