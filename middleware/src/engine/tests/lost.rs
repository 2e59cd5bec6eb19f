//! Logs that cannot be trusted.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::rig::{CHUNK, Kind, Rig, chunk, content};
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{SessionId, State};

const HOUR: Duration = Duration::from_secs(3_600);

fn lost_log(rig: &Rig, id: &SessionId) -> PathBuf {
    rig.path().join("lost").join(format!("{}.log", id.key()))
}

/// An upload whose log has a flipped bit, as another process finds it.
async fn damaged(change: impl FnOnce(&mut crate::config::UploadConfig)) -> (Rig, SessionId) {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(3 * CHUNK).await;
    flip(&rig, &id);
    (rig.again(change), id)
}

fn flip(rig: &Rig, id: &SessionId) {
    let mut bytes = fs::read(rig.log_file(id)).unwrap();
    bytes[0] ^= 1;
    fs::write(rig.log_file(id), bytes).unwrap();
}

async fn assert_lost(rig: &Rig, id: &SessionId) {
    for _ in 0..3 {
        assert_eq!(rig.view(id).await.unwrap_err(), Refusal::StateLost);
        let sent = rig.send(id, 2, &chunk(3 * CHUNK, 2)).await;
        assert_eq!(sent.unwrap_err(), Refusal::StateLost);
        let cancelled = rig.engine.cancel(id).await;
        assert_eq!(cancelled.unwrap_err(), Refusal::StateLost);
    }
    assert!(lost_log(rig, id).exists());
    assert!(!rig.log_file(id).exists());
    assert!(rig.data_file(id).exists(), "nothing is thrown away");
}

#[tokio::test]
async fn a_lost_upload_is_told_kept_and_counted_once() {
    let (rig, id) = damaged(|_| {}).await;
    assert_lost(&rig, &id).await;
    assert_eq!((rig.engine.lost(), rig.engine.sessions()), (1, 0));
    let next = rig.again(|_| {});
    next.engine.recover(None).await;
    next.engine.remove_orphans().await.unwrap();
    assert_lost(&next, &id).await;
    assert_eq!(next.engine.lost(), 0, "it was lost before");
}

#[tokio::test]
async fn a_lost_upload_is_found_by_the_scan_and_takes_no_place() {
    let (rig, id) = damaged(|config| config.uploads.max_sessions = 1).await;
    assert_eq!(rig.engine.recover(None).await, 0);
    assert_eq!((rig.engine.lost(), rig.engine.sessions()), (1, 0));
    assert_lost(&rig, &id).await;
    assert_eq!(rig.engine.lost(), 1);
    rig.create_as(sample::id(77), false, sample::declaration(1), "")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_upload_is_removed_with_its_bytes_in_time() {
    let (rig, id) = damaged(|_| {}).await;
    rig.engine.recover(None).await;
    rig.pass(23 * HOUR);
    rig.engine.sweep().await;
    assert_lost(&rig, &id).await;
    // Its age is that of its last change, whoever finds it.
    let next = rig.again(|_| {});
    next.engine.recover(None).await;
    next.pass(HOUR / 2);
    next.engine.sweep().await;
    assert_lost(&next, &id).await;
    next.pass(HOUR);
    next.engine.sweep().await;
    assert_eq!(next.view(&id).await.unwrap_err(), Refusal::NoSession);
    assert!(!lost_log(&next, &id).exists());
    assert!(!next.data_file(&id).exists());
}

#[tokio::test]
async fn a_clock_that_is_set_does_not_end_what_is_lost() {
    let (rig, id) = damaged(|_| {}).await;
    rig.engine.recover(None).await;
    rig.set_clock(rig.wall().after(Duration::from_secs(1 << 30)));
    rig.pass(HOUR / 2);
    rig.engine.sweep().await;
    assert_lost(&rig, &id).await;
    rig.pass(HOUR);
    rig.engine.sweep().await;
    assert_eq!(rig.view(&id).await.unwrap_err(), Refusal::NoSession);
}

/// A client that repeats its create wants to upload its file, and can.
#[tokio::test]
async fn a_repeated_create_makes_a_lost_upload_anew() {
    for was_told in [false, true] {
        let (rig, id) = damaged(|_| {}).await;
        if was_told {
            assert_lost(&rig, &id).await;
        }
        let total = CHUNK + 3;
        let create = || rig.create_as(id.clone(), true, sample::declaration(total), "");
        let made = create().await.unwrap().view;
        assert_eq!((made.state, made.uploaded), (State::Receiving, 0));
        assert!(!rig.data_file(&id).exists(), "old bytes do not get into it");
        assert!(
            lost_log(&rig, &id).exists(),
            "and the old log can be looked at"
        );
        assert_eq!((rig.engine.lost(), rig.engine.sessions()), (1, 1));
        rig.send(&id, 0, &chunk(total, 0)).await.unwrap();
        assert_eq!(create().await.unwrap().view.uploaded, CHUNK);
        let next = rig.again(|_| {});
        next.engine.recover(None).await;
        assert_eq!(next.engine.sessions(), 1);
        next.send(&id, 1, &chunk(total, 1)).await.unwrap();
        assert_eq!(next.handler.calls()[0].bytes, content(total));
        next.pass(25 * HOUR);
        next.engine.sweep().await;
        assert!(!lost_log(&next, &id).exists());
        assert!(!next.log_file(&id).exists());
    }
}

/// A process that dies before the log is out of the way leaves it where it is found again.
#[tokio::test]
async fn a_log_that_cannot_be_put_aside_is_lost_all_the_same() {
    let (rig, id) = damaged(|_| {}).await;
    fs::write(rig.path().join("lost"), "").unwrap();
    for _ in 0..2 {
        assert_eq!(rig.view(&id).await.unwrap_err(), Refusal::StateLost);
        assert!(rig.log_file(&id).exists());
    }
    fs::remove_file(rig.path().join("lost")).unwrap();
    assert_lost(&rig, &id).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_on_watching_what_is_lost() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(3 * CHUNK).await;
    let (mut watch, _, _) = rig.engine.watch(&id).await.unwrap();
    rig.close_all();
    flip(&rig, &id);
    assert_eq!(rig.view(&id).await.unwrap_err(), Refusal::StateLost);
    let told = tokio::time::timeout(HOUR, watch.next()).await;
    assert_eq!(told, Ok(None));
}
