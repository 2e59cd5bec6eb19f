//! What is forgotten, when, and never under somebody's hands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{SessionId, State};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

async fn is_stored(rig: &Rig, id: &SessionId) -> bool {
    rig.store().read(id.key()).await.unwrap().is_some()
}

/// Expired is unknown, before a sweep has come by and afterwards.
async fn assert_expired(rig: &Rig, id: &SessionId) {
    for _ in 0..2 {
        assert_eq!(
            rig.view(id).await.unwrap_err(),
            Refusal::NoSession,
            "{:?}",
            rig.kind
        );
        assert_eq!(rig.send_only(id).await.unwrap_err(), Refusal::NoSession);
        assert_eq!(rig.engine.cancel(id).await.unwrap_err(), Refusal::NoSession);
        rig.engine.sweep().await;
        assert!(!is_stored(rig, id).await, "{:?}", rig.kind);
        assert!(!rig.data_file(id).exists());
        assert_eq!(rig.engine.sessions(), 0);
    }
}

async fn assert_kept(rig: &Rig, id: &SessionId, state: State) {
    rig.engine.sweep().await;
    assert_eq!(rig.state(id).await, state, "{:?}", rig.kind);
}

#[tokio::test]
async fn an_upload_without_a_byte_goes_first() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.pass(9 * MINUTE);
        assert_kept(&rig, &id, State::Receiving).await;
        rig.pass(MINUTE);
        assert_expired(&rig, &id).await;
    }
}

#[tokio::test]
async fn an_unfinished_upload_is_kept_after_its_last_chunk() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(3 * CHUNK).await;
        rig.send(&id, 2, &chunk(3 * CHUNK, 2)).await.unwrap();
        rig.pass(23 * HOUR);
        rig.send(&id, 1, &chunk(3 * CHUNK, 1)).await.unwrap();
        rig.pass(23 * HOUR);
        assert_kept(&rig, &id, State::Receiving).await;
        // Asking is no activity, and a duplicate adds nothing.
        rig.send(&id, 1, &chunk(3 * CHUNK, 1)).await.unwrap();
        rig.pass(HOUR);
        assert_expired(&rig, &id).await;
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_its_time() {
    for kind in KINDS {
        for status in [200, 422] {
            let rig = Rig::with(kind, |config| config.uploads.result_retention = 48 * HOUR);
            rig.handler.will_answer([status]);
            let id = rig.upload(CHUNK).await;
            let state = rig.send_only(&id).await.unwrap().view.state;
            rig.pass(47 * HOUR);
            assert_kept(&rig, &id, state).await;
            assert_eq!(rig.send_only(&id).await.unwrap().view.state, state);
            rig.pass(HOUR);
            assert_expired(&rig, &id).await;
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_being_written_is_not_swept() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.nearly(2 * CHUNK).await;
        let last = chunk(2 * CHUNK, 1);
        let (mut client, request) = rig.request(&id, 1);
        client.send(&last[..4]);
        client.gave(1).await;
        rig.pass(25 * HOUR);
        rig.engine.sweep().await;
        assert!(is_stored(&rig, &id).await, "{kind:?}");
        client.send(&last[4..]);
        drop(client);
        let appended = request.await.unwrap().unwrap();
        assert_eq!(appended.view.state, State::Completed, "{kind:?}");
        assert_eq!(rig.handler.calls()[0].bytes, content(2 * CHUNK));
    }
}

#[tokio::test]
async fn an_upload_that_is_being_handed_over_is_not_swept() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        rig.pass(25 * HOUR);
        rig.engine.sweep().await;
        assert!(is_stored(&rig, &id).await, "{kind:?}");
        answer.send(200).unwrap();
        assert_eq!(request.await.unwrap().unwrap().view.state, State::Completed);
    }
}

#[tokio::test]
async fn a_sweep_takes_what_has_expired_and_nothing_else() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let old = rig.upload(CHUNK).await;
        let sent = rig.nearly(2 * CHUNK).await;
        rig.pass(9 * MINUTE);
        let new = rig.upload(CHUNK).await;
        rig.pass(MINUTE);
        rig.engine.sweep().await;
        assert!(!is_stored(&rig, &old).await, "{kind:?}");
        assert_kept(&rig, &sent, State::Receiving).await;
        assert_kept(&rig, &new, State::Receiving).await;
        rig.send(&sent, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        assert_eq!(rig.handler.calls()[0].bytes, content(2 * CHUNK));
    }
}

/// What cannot be read must not keep the rest from going.
#[tokio::test]
async fn a_sweep_passes_over_a_damaged_log() {
    let rig = Rig::new(Kind::Disk);
    let ids = [
        rig.upload(CHUNK).await,
        rig.upload(CHUNK).await,
        rig.upload(CHUNK).await,
    ];
    let log = rig.path().join(format!("{}.log", ids[1].key()));
    std::fs::write(&log, "not a log, but long enough to be one").unwrap();
    rig.pass(HOUR);
    rig.engine.sweep().await;
    let left: Vec<_> = rig
        .store()
        .list()
        .await
        .unwrap()
        .iter()
        .map(|u| u.key)
        .collect();
    assert_eq!(left, [ids[1].key()], "it is kept for whoever looks into it");
}

#[tokio::test]
async fn bytes_without_a_session_are_removed_and_no_others() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let kept = rig.nearly(2 * CHUNK).await;
        let orphan = rig.nearly(2 * CHUNK).await;
        rig.store().remove(orphan.key()).await.unwrap();
        let next = rig.again(|_| {});
        next.engine.remove_orphans().await.unwrap();
        assert!(!next.data_file(&orphan).exists(), "{kind:?}");
        next.send(&kept, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        assert_eq!(next.handler.calls()[0].bytes, content(2 * CHUNK));
    }
}

#[tokio::test]
async fn bytes_of_a_log_that_cannot_be_read_are_kept() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(3 * CHUNK).await;
    let log = rig.path().join(format!("{}.log", id.key()));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    rig.again(|_| {}).engine.remove_orphans().await.unwrap();
    assert!(rig.data_file(&id).exists());
}

#[tokio::test]
async fn files_nobody_uses_are_closed_and_opened_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.nearly(3 * CHUNK).await;
        let is_open = || rig.engine.table.peek(id.key()).is_some();
        rig.engine.close_idle().await;
        assert!(is_open(), "{kind:?}: used a moment ago");
        let (client, request) = rig.request(&id, 2);
        client.send(b"xxxx");
        let long_ago = Instant::now().checked_sub(MINUTE).unwrap();
        {
            let active = rig.engine.active(id.key()).await.unwrap();
            let mut client = client;
            client.gave(1).await;
            active.lock().used = long_ago;
            rig.engine.close_idle().await;
            assert!(is_open(), "{kind:?}: somebody writes");
            client.break_off();
            request.await.unwrap().unwrap_err();
            active.lock().used = long_ago;
            rig.engine.close_idle().await;
            assert!(is_open(), "{kind:?}: this test uses it");
        }
        rig.engine.close_idle().await;
        assert!(!is_open(), "{kind:?}");
        rig.send(&id, 2, &chunk(3 * CHUNK, 2)).await.unwrap();
        assert_eq!(rig.handler.calls()[0].bytes, content(3 * CHUNK));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_rests_between_attempts_is_closed() {
    let rig = Rig::new(Kind::Disk);
    rig.handler.will_answer([503; 3]);
    let id = rig.upload(CHUNK).await;
    rig.send_only(&id).await.unwrap();
    let long_ago = Instant::now().checked_sub(MINUTE).unwrap();
    rig.engine.active(id.key()).await.unwrap().lock().used = long_ago;
    rig.engine.close_idle().await;
    assert!(rig.engine.table.peek(id.key()).is_none());
    rig.handler.called(4).await;
    rig.settled(&id).await;
    assert_eq!(rig.state(&id).await, State::Completed);
}

/// A client that asks while its upload is being removed, and then makes it anew.
#[tokio::test]
async fn an_upload_that_is_half_removed_is_not_opened() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(2 * CHUNK).await;
    rig.pass(24 * HOUR);
    rig.faults.blob_remove.shut();
    let engine = Arc::clone(&rig.engine);
    let sweep = tokio::spawn(async move { engine.sweep().await });
    rig.faults.blob_remove.holds(1).await;
    assert_eq!(rig.view(&id).await.unwrap_err(), Refusal::NoSession);
    rig.faults.blob_remove.open();
    sweep.await.unwrap();
    let declared = sample::declaration(2 * CHUNK);
    rig.create_as(id.clone(), true, declared, "").await.unwrap();
    rig.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap();
}
