use std::sync::Arc;
use std::time::Duration;

use super::handler::Step;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::config::OnUnknown;
use crate::engine::Refusal;
use crate::upload::State;
use crate::upload::tests::sample;

async fn assert_cancelled(rig: &Rig, id: &crate::upload::SessionId) {
    for _ in 0..2 {
        rig.engine.cancel(id).await.unwrap();
        assert_eq!(rig.state(id).await, State::Cancelled, "{:?}", rig.kind);
        assert_eq!(rig.send_only(id).await.unwrap_err(), Refusal::Cancelled);
        assert!(!rig.data_file(id).exists());
        assert_eq!(rig.engine.sessions(), 0);
    }
    // The record stays until retention ends.
    assert_eq!(rig.again(|_| {}).state(id).await, State::Cancelled);
}

#[tokio::test]
async fn an_upload_is_cancelled_for_good() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let untouched = rig.upload(CHUNK).await;
        assert_cancelled(&rig, &untouched).await;
        let id = rig.nearly(2 * CHUNK).await;
        assert!(rig.data_file(&id).exists());
        assert_cancelled(&rig, &id).await;
        assert!(rig.handler.calls().is_empty());
    }
}

#[tokio::test]
async fn what_is_unknown_cannot_be_cancelled() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let refusal = rig.engine.cancel(&sample::id(9)).await.unwrap_err();
        assert_eq!(refusal, Refusal::NoSession, "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_done_or_being_done_is_not_cancelled() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        let refusal = rig.engine.cancel(&id).await.unwrap_err();
        assert_eq!(refusal, Refusal::Finishing, "{kind:?}");
        answer.send(200).unwrap();
        request.await.unwrap().unwrap();
        let refusal = rig.engine.cancel(&id).await.unwrap_err();
        assert_eq!(refusal, Refusal::Completed, "{kind:?}");
        assert_eq!(rig.state(&id).await, State::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_took_can_be_cancelled() {
    for kind in KINDS {
        for status in [503, 422] {
            let rig = Rig::new(kind);
            rig.handler.will_answer([status]);
            let id = rig.upload(CHUNK).await;
            rig.send_only(&id).await.unwrap();
            assert_cancelled(&rig, &id).await;
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert_eq!(rig.handler.calls().len(), 1, "{kind:?} {status}");
        }
    }
}

#[tokio::test]
async fn what_is_held_can_be_cancelled() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| config.delivery.on_unknown = OnUnknown::Hold);
        rig.handler.will(Step::Break);
        let id = rig.upload(CHUNK).await;
        assert_eq!(rig.send_only(&id).await.unwrap().view.state, State::Unknown);
        assert_cancelled(&rig, &id).await;
    }
}

#[tokio::test]
async fn a_chunk_on_its_way_is_stopped() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let (mut client, request) = rig.request(&id, 0);
        client.send(b"xxxx");
        client.gave(1).await;
        rig.engine.cancel(&id).await.unwrap();
        // The client is still connected, and sends nothing more.
        let refusal = request.await.unwrap().unwrap_err();
        assert!(
            matches!(refusal, Refusal::Superseded | Refusal::Cancelled),
            "{refusal:?}"
        );
        drop(client);
        assert_cancelled(&rig, &id).await;
    }
}

#[tokio::test]
async fn a_chunk_whose_last_byte_is_here_does_not_undo_a_cancel() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.faults.log_append.shut();
        // The cancel is first to be put on record, the chunk next.
        let engine = Arc::clone(&rig.engine);
        let upload = id.clone();
        let cancel = tokio::spawn(async move { engine.cancel(&upload).await });
        rig.faults.log_append.holds(1).await;
        let (mut client, request) = rig.request(&id, 0);
        client.send(&content(CHUNK));
        client.gave(1).await;
        rig.faults.log_append.open();
        drop(client);
        cancel.await.unwrap().unwrap();
        let refusal = request.await.unwrap().unwrap_err();
        assert!(
            matches!(refusal, Refusal::Superseded | Refusal::Cancelled),
            "{refusal:?}"
        );
        assert_eq!(rig.state(&id).await, State::Cancelled, "{kind:?}");
        assert!(rig.handler.calls().is_empty());
    }
}

/// The request was let in, and had not opened the file yet.
#[tokio::test]
async fn a_chunk_that_was_let_in_before_a_cancel_leaves_no_file() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.faults.blob_open.shut();
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.faults.blob_open.holds(1).await;
        let (engine, upload) = (Arc::clone(&rig.engine), id.clone());
        let cancel = tokio::spawn(async move { engine.cancel(&upload).await });
        rig.until(&id, State::Cancelled).await;
        rig.faults.blob_open.open();
        cancel.await.unwrap().unwrap();
        request.await.unwrap().unwrap_err();
        assert!(!rig.data_file(&id).exists(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_and_the_last_chunk_at_once_leave_one_winner() {
    for (kind, round) in (0..150).map(|round| (KINDS[round % 3], round)) {
        let rig = Arc::new(Rig::new(kind));
        let id = rig.nearly(2 * CHUNK).await;
        let request = {
            let (rig, id) = (Arc::clone(&rig), id.clone());
            tokio::spawn(async move { rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await })
        };
        let cancelled = rig.engine.cancel(&id).await;
        let sent = request.await.unwrap();
        let calls = rig.handler.calls().len();
        match cancelled {
            Ok(()) => {
                let refusal = sent.unwrap_err();
                let told = matches!(refusal, Refusal::Superseded | Refusal::Cancelled);
                assert!(told, "{kind:?} {round}: {refusal:?}");
                assert_eq!(rig.state(&id).await, State::Cancelled);
                assert_eq!(calls, 0, "{kind:?} {round}");
            }
            Err(Refusal::Finishing | Refusal::Completed) => {
                assert_eq!(sent.unwrap().view.state, State::Completed);
                assert_eq!(calls, 1, "{kind:?} {round}");
            }
            Err(refusal) => panic!("{kind:?} {round}: {refusal:?}"),
        }
    }
}

#[tokio::test]
async fn a_cancel_that_does_not_fit_the_log_is_no_cancel() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(2 * CHUNK).await;
    rig.faults.fail(
        super::faults::Point::LogAppend,
        std::io::ErrorKind::StorageFull,
    );
    assert_eq!(rig.engine.cancel(&id).await.unwrap_err(), Refusal::NoSpace);
    assert_eq!(rig.state(&id).await, State::Receiving);
    rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
    assert_eq!(rig.handler.calls()[0].bytes, content(2 * CHUNK));
}
