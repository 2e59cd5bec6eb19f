//! What another process finds, and does, after one died.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::faults::Point;
use super::handler::Step;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::config::OnUnknown;
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{Entry, Failure, SessionId, State, Timestamp};

fn process() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// A process that dies while its handler has an upload.
fn died_in_hand_off(kind: Kind, on_unknown: OnUnknown) -> (Rig, SessionId) {
    let process = process();
    let (tell, _) = oneshot::channel();
    let (rig, id) = process.block_on(async {
        let rig = Rig::with(kind, |config| config.delivery.on_unknown = on_unknown);
        rig.handler.will(Step::Never(tell));
        let id = rig.upload(CHUNK).await;
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        assert!(!request.is_finished());
        (rig, id)
    });
    // Its tasks end where they are.
    drop(process);
    (rig, id)
}

#[test]
fn a_hand_off_cut_short_is_made_again() {
    for kind in KINDS {
        let (dead, id) = died_in_hand_off(kind, OnUnknown::Retry);
        process().block_on(async {
            let rig = dead.again(|_| {});
            assert_eq!(
                rig.engine.recover(Some(&rig.deliver())).await,
                1,
                "{kind:?}"
            );
            rig.handler.called(1).await;
            rig.settled(&id).await;
            let view = rig.view(&id).await.unwrap();
            assert_eq!(view.state, State::Completed, "{kind:?}");
            assert_eq!(
                view.failure.as_deref(),
                Some(&Failure::Interrupted),
                "it is on record"
            );
            assert_eq!(rig.handler.calls().len(), 1);
            assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK));
            assert_eq!(
                rig.handler.calls()[0].key,
                id.key(),
                "the handler can recognise it"
            );
        });
    }
}

/// The app behind a hand-off knows the engine; nothing of both may outlive their process.
#[test]
fn what_waits_for_its_next_attempt_ends_with_its_process() {
    for kind in KINDS {
        let process = process();
        let rig = process.block_on(async {
            let rig = Rig::new(kind);
            rig.handler.will_answer([503]);
            let id = rig.upload(CHUNK).await;
            rig.send_only(&id).await.unwrap();
            assert!(rig.engine.schedule.knows(id.key()));
            rig
        });
        drop(process);
        assert_eq!(Arc::strong_count(&rig.handler), 1, "{kind:?}");
        assert_eq!(Arc::strong_count(&rig.engine), 1, "{kind:?}");
    }
}

#[test]
fn a_hand_off_cut_short_is_held_where_that_is_asked_for() {
    for kind in KINDS {
        let (dead, id) = died_in_hand_off(kind, OnUnknown::Hold);
        process().block_on(async {
            let rig = dead.again(|_| {});
            rig.engine.recover(Some(&rig.deliver())).await;
            rig.settled(&id).await;
            for _ in 0..2 {
                let view = rig.send_only(&id).await.unwrap().view;
                assert_eq!(view.state, State::Unknown, "{kind:?}");
                assert_eq!(view.failure.as_deref(), Some(&Failure::Interrupted));
            }
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert!(rig.handler.calls().is_empty(), "{kind:?}");
            assert!(rig.data_file(&id).exists());
        });
        // And by the next process as well.
        process().block_on(async {
            let rig = dead.again(|_| {});
            assert_eq!(
                rig.engine.recover(Some(&rig.deliver())).await,
                0,
                "{kind:?}"
            );
            assert_eq!(rig.state(&id).await, State::Unknown);
            assert!(rig.handler.calls().is_empty());
        });
    }
}

#[test]
fn without_a_way_to_deliver_an_upload_waits_for_its_client() {
    for kind in KINDS {
        let (dead, id) = died_in_hand_off(kind, OnUnknown::Retry);
        process().block_on(async {
            let rig = dead.again(|_| {});
            assert_eq!(rig.engine.recover(None).await, 1, "{kind:?}");
            assert!(rig.view(&id).await.unwrap().finishing);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(rig.handler.calls().is_empty());
            let appended = rig.send_only(&id).await.unwrap();
            assert!(appended.duplicate);
            assert_eq!(appended.view.state, State::Completed, "{kind:?}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_across_processes() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503; 9]);
        let id = rig.upload(CHUNK).await;
        rig.send_only(&id).await.unwrap();
        rig.handler.called(3).await;
        rig.engine.drain().await;
        let attempts = rig.handler.calls().len() as u32;
        let next = rig.again(|_| {});
        next.handler.will_answer([503]);
        assert_eq!(next.engine.recover(Some(&next.deliver())).await, 1);
        next.handler.called(2).await;
        next.settled(&id).await;
        let waited = next.handler.calls()[1].at - next.handler.calls()[0].at;
        assert_eq!(waited, crate::upload::retry_delay(attempts + 1), "{kind:?}");
    }
}

/// Every point at which a process can die before a hand-off begins.
#[tokio::test(start_paused = true)]
async fn a_complete_upload_is_handed_over_wherever_its_process_died() {
    let at = Timestamp::from(SystemTime::now());
    let failed = Entry::HandoffFailed {
        failure: Failure::Answered(sample::answer(503)),
        at,
    };
    let all = [Entry::Sealed { at }, Entry::HandoffBegun { at }, failed];
    for kind in KINDS {
        for entries in [&all[..0], &all[..1], &all[..3]] {
            let rig = Rig::new(kind);
            let id = rig.nearly(2 * CHUNK).await;
            // It takes the last chunk, and starts nothing any more.
            rig.engine.drain().await;
            rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
            let opened = rig.store().open(id.key()).await.unwrap().unwrap();
            opened
                .log
                .append(opened.record.revision, entries.to_vec())
                .await
                .unwrap();
            let next = rig.again(|_| {});
            assert_eq!(next.engine.recover(Some(&next.deliver())).await, 1);
            next.settled(&id).await;
            assert_eq!(
                next.state(&id).await,
                State::Completed,
                "{kind:?} {entries:?}"
            );
            assert_eq!(next.handler.calls()[0].bytes, content(2 * CHUNK));
        }
    }
}

#[tokio::test]
async fn an_unfinished_upload_goes_on_where_it_was() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let total = 4 * CHUNK + 3;
        let id = rig.upload(total).await;
        for number in [4, 1] {
            rig.send(&id, number, &chunk(total, number)).await.unwrap();
        }
        let next = rig.again(|_| {});
        assert_eq!(next.engine.recover(Some(&next.deliver())).await, 0);
        assert_eq!(next.gaps(&id).await.ranges, [(0, 0), (2, 3)], "{kind:?}");
        assert!(next.send(&id, 1, &chunk(total, 1)).await.unwrap().duplicate);
        for number in [3, 0, 2] {
            next.send(&id, number, &chunk(total, number)).await.unwrap();
        }
        assert_eq!(next.state(&id).await, State::Completed, "{kind:?}");
        assert_eq!(next.handler.calls()[0].bytes, content(total));
    }
}

#[tokio::test]
async fn uploads_of_an_earlier_process_are_counted() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.upload(CHUNK).await;
        let done = rig.upload(CHUNK).await;
        rig.send_only(&done).await.unwrap();
        let next = rig.again(|config| config.uploads.max_sessions = 1);
        next.engine.recover(None).await;
        assert_eq!(next.engine.sessions(), 1, "{kind:?}");
        let refusal = next
            .create_as(sample::id(99), false, sample::declaration(1), "")
            .await;
        assert_eq!(refusal.unwrap_err(), Refusal::TooManySessions);
    }
}

/// Recovery runs beside requests: what it read may be old when it counts it.
#[tokio::test]
async fn an_upload_that_ends_while_it_is_being_counted_is_not_counted() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let next = rig.again(|_| {});
        next.faults.store_read.shut();
        let engine = Arc::clone(&next.engine);
        let recovery = tokio::spawn(async move { engine.recover(None).await });
        next.faults.store_read.holds(1).await;
        next.faults.store_read.open_for_others();
        let view = next.send_only(&id).await.unwrap().view;
        assert_eq!(view.state, State::Completed);
        next.faults.store_read.open();
        recovery.await.unwrap();
        assert_eq!(next.engine.sessions(), 0, "{kind:?}");
    }
}

/// Bytes an earlier process acknowledged are read back before they are handed over.
#[tokio::test]
async fn bytes_that_are_not_what_they_were_are_asked_for_again() {
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[13] ^= 1,
        |bytes| bytes[10..20].fill(0),
        |bytes| bytes.truncate(15),
    ];
    for damage in damages {
        let rig = Rig::new(Kind::Disk);
        let total = 2 * CHUNK + 3;
        let id = rig.upload(total).await;
        rig.send(&id, 1, &chunk(total, 1)).await.unwrap();
        rig.send(&id, 0, &chunk(total, 0)).await.unwrap();
        let mut bytes = fs::read(rig.data_file(&id)).unwrap();
        damage(&mut bytes);
        fs::write(rig.data_file(&id), bytes).unwrap();
        let next = rig.again(|_| {});
        let view = next.send(&id, 2, &chunk(total, 2)).await.unwrap().view;
        assert_eq!(view.state, State::Receiving);
        assert!(next.handler.calls().is_empty());
        assert_eq!(next.gaps(&id).await.ranges, [(1, 1)], "only what is broken");
        let view = next.send(&id, 1, &chunk(total, 1)).await.unwrap().view;
        assert_eq!(view.state, State::Completed);
        assert_eq!(next.handler.calls()[0].bytes, content(total));
    }
}

#[tokio::test]
async fn a_data_file_that_is_gone_is_asked_for_again() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(2 * CHUNK).await;
    fs::remove_file(rig.data_file(&id)).unwrap();
    let next = rig.again(|_| {});
    let view = next.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap().view;
    assert_eq!((view.state, view.uploaded), (State::Receiving, CHUNK));
    let view = next.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap().view;
    assert_eq!(view.state, State::Completed);
    assert_eq!(next.handler.calls()[0].bytes, content(2 * CHUNK));
}

/// All bytes are asked for again, long after the time to wait for a first one.
#[tokio::test]
async fn bytes_asked_for_again_can_still_be_sent() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.upload(CHUNK).await;
    rig.engine.drain().await;
    rig.send_only(&id).await.unwrap();
    fs::write(rig.data_file(&id), "xxxxxxxxxx").unwrap();
    rig.pass(Duration::from_secs(3_600));
    let next = rig.again(|_| {});
    next.engine.recover(Some(&next.deliver())).await;
    next.settled(&id).await;
    assert_eq!(next.state(&id).await, State::Receiving);
    assert_eq!(
        next.send_only(&id).await.unwrap().view.state,
        State::Completed
    );
}

/// The process ends, here by a full disk, between two chunks that it has to give up.
#[tokio::test]
async fn no_mark_covers_bytes_that_were_not_looked_at() {
    let rig = Rig::new(Kind::Disk);
    let total = 4 * CHUNK;
    let id = rig.upload(total).await;
    rig.faults.log_flush.shut();
    let first = rig.whole_request(&id, 0, &chunk(total, 0));
    rig.faults.log_flush.holds(1).await;
    let [one, two] = [1, 2].map(|number| rig.whole_request(&id, number, &chunk(total, number)));
    let active = rig.engine.table.peek(id.key()).unwrap();
    while active.commits.len() < 2 {
        tokio::task::yield_now().await;
    }
    rig.faults.log_flush.open();
    for request in [first, one, two] {
        request.await.unwrap().unwrap();
    }
    fs::write(rig.data_file(&id), chunk(total, 0)).unwrap();
    let next = rig.again(|_| {});
    let full = ErrorKind::StorageFull;
    next.faults.fail_after(Point::LogAppend, 1, full);
    assert_eq!(next.view(&id).await.unwrap_err(), Refusal::NoSpace);
    let last = rig.again(|_| {});
    assert_eq!(last.gaps(&id).await.ranges, [(1, 3)]);
}

/// What would have the handler called again is left alone under "hold".
#[test]
fn damage_does_not_undo_a_hold() {
    let (dead, id) = died_in_hand_off(Kind::Disk, OnUnknown::Hold);
    fs::write(dead.data_file(&id), "").unwrap();
    for _ in 0..2 {
        process().block_on(async {
            let rig = dead.again(|_| {});
            rig.view(&id).await.unwrap();
            rig.engine.recover(Some(&rig.deliver())).await;
            rig.settled(&id).await;
            let view = rig.send_only(&id).await.unwrap().view;
            assert_eq!(view.state, State::Unknown);
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert!(rig.handler.calls().is_empty());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_at_the_start_is_handed_over_when_it_can() {
    let rig = Rig::new(Kind::Disk);
    rig.handler.will_answer([503]);
    let id = rig.upload(CHUNK).await;
    rig.send_only(&id).await.unwrap();
    rig.engine.drain().await;
    let next = rig.again(|_| {});
    let deliver = next.deliver();
    next.faults.fail_os(Point::StoreRead, libc::EMFILE);
    next.engine.recover(Some(&deliver)).await;
    assert!(next.handler.calls().is_empty());
    let marked = next.store().delivering().await.unwrap();
    assert_eq!(marked, [id.key()]);
    next.pass(Duration::from_secs(2 * 3_600));
    next.engine.sweep().await;
    next.settled(&id).await;
    assert_eq!(next.handler.calls().len(), 1);
    assert_eq!(next.state(&id).await, State::Completed);
}

/// What a power cut left of an upload without a log is not part of the next one.
#[tokio::test]
async fn bytes_without_a_log_are_not_those_of_a_repeated_create() {
    let rig = Rig::new(Kind::Disk);
    let id = sample::id(9);
    fs::write(rig.data_file(&id), "much more than there is to come").unwrap();
    let declared = sample::declaration(CHUNK);
    rig.create_as(id.clone(), true, declared, "").await.unwrap();
    assert!(!rig.data_file(&id).exists());
    rig.send_only(&id).await.unwrap();
    assert_eq!(rig.state(&id).await, State::Completed);
}
