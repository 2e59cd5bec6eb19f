//! Who is handed over when, and what that keeps busy meanwhile.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::faults::Point;
use super::handler::Step;
use super::others::Others;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::config::OnUnknown;
use crate::upload::tests::sample;
use crate::upload::{Algorithm, Hasher, SessionId, State};

const HOUR: Duration = Duration::from_secs(3_600);
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// A process that has left `count` whole uploads behind, and the next one.
async fn left_behind(kind: Kind, count: usize, max_concurrent: usize) -> (Rig, Vec<SessionId>) {
    let rig = Rig::with(kind, |config| {
        config.delivery.max_concurrent = max_concurrent;
        config.delivery.on_unknown = OnUnknown::Hold;
    });
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(rig.upload(CHUNK).await);
    }
    rig.engine.drain().await;
    for id in &ids {
        rig.send_only(id).await.unwrap();
    }
    assert!(rig.handler.calls().is_empty());
    rig.close_all();
    (rig.again(|_| {}), ids)
}

/// Files of the rig that this process has open.
fn open_files(rig: &Rig) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    targets
        .filter(|target| target.starts_with(rig.path()) && *target != rig.path())
        .count()
}

/// Waits until none is: a thread that was at work on one closes it a little later.
async fn nothing_is_open(rig: &Rig) {
    let asked = std::time::Instant::now();
    while open_files(rig) > 0 {
        assert!(asked.elapsed() < CLOSED_WITHIN, "{} are", open_files(rig));
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_that_wait_keep_nothing_open_and_begin_a_few_at_once() {
    for kind in [Kind::Disk, Kind::DiskBlocking] {
        let (rig, ids) = left_behind(kind, 40, 2).await;
        nothing_is_open(&rig).await;
        let answers = [rig.handler.will_wait(), rig.handler.will_wait()];
        rig.handler.will_answer([503; 38]);
        assert_eq!(rig.engine.recover(Some(&rig.deliver())).await, 40);
        rig.handler.called(2).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.handler.calls().len(), 2, "{kind:?}");
        assert!(open_files(&rig) <= 4, "{kind:?}: {}", open_files(&rig));
        for answer in answers {
            answer.send(503).unwrap();
        }
        rig.handler.called(40).await;
        // All rest until their second attempt.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(rig.handler.calls().len(), 40);
        nothing_is_open(&rig).await;
        for id in &ids {
            rig.settled(id).await;
            assert_eq!(rig.state(id).await, State::Completed);
        }
        assert_eq!(rig.handler.calls().len(), 80);
    }
}

/// Reading gigabytes back is work as well.
#[tokio::test(start_paused = true)]
async fn no_byte_is_read_for_a_hand_off_that_has_to_wait() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| config.delivery.max_concurrent = 1);
        let answer = rig.handler.will_wait();
        let first = rig.upload(CHUNK).await;
        let first = rig.whole_request(&first, 0, &content(CHUNK));
        rig.handler.called(1).await;
        let mut declaration = sample::declaration(CHUNK);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&content(CHUNK));
        declaration.digests = vec![hasher.finish()];
        let second = rig.create(declaration, "").await.unwrap().id;
        rig.faults.fail(Point::BlobRead, ErrorKind::Other);
        let view = rig.send_only(&second).await.unwrap().view;
        assert!(view.finishing, "{kind:?}");
        assert!(rig.faults.is_armed(Point::BlobRead), "{kind:?}");
        answer.send(200).unwrap();
        first.await.unwrap().unwrap();
        rig.settled(&second).await;
        assert!(!rig.faults.is_armed(Point::BlobRead));
        assert_eq!(rig.state(&second).await, State::Completed);
    }
}

/// One look at the bytes is enough for a process, however often nobody takes them.
#[tokio::test(start_paused = true)]
async fn bytes_are_read_back_once() {
    for kind in KINDS {
        let (rig, ids) = left_behind(kind, 1, 1).await;
        let answer = rig.handler.will_wait();
        rig.engine.recover(Some(&rig.deliver())).await;
        rig.handler.called(1).await;
        answer.send(503).unwrap();
        rig.until_resting(&ids[0]).await;
        // The one read of the second attempt is the handler's.
        rig.faults.fail(Point::BlobRead, ErrorKind::Other);
        rig.handler.called(2).await;
        assert!(!rig.faults.is_armed(Point::BlobRead), "{kind:?}");
        assert!(rig.handler.calls()[1].bytes.is_empty());
        rig.settled(&ids[0]).await;
        assert_eq!(rig.state(&ids[0]).await, State::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_that_cannot_begin_become_rarer_as_well() {
    for (point, error) in [
        (Point::BlobRead, ErrorKind::Other),
        (Point::LogAppend, ErrorKind::StorageFull),
        (Point::LogAppend, ErrorKind::OutOfMemory),
    ] {
        for kind in KINDS {
            let (rig, ids) = left_behind(kind, 1, 1).await;
            // An attempt opens the log, which may note what it found, and adds to it.
            let each = if point == Point::LogAppend { 2 } else { 1 };
            for _ in 0..5 * each {
                rig.faults.fail(point, error);
            }
            let begun = Instant::now();
            rig.engine.recover(Some(&rig.deliver())).await;
            // Nobody asks: there may be room again.
            rig.handler.called(1).await;
            let waited = begun.elapsed().as_secs();
            assert_eq!(waited, 1 + 2 + 4 + 8 + 16, "{kind:?} {point:?} {error:?}");
            rig.settled(&ids[0]).await;
            assert_eq!(rig.state(&ids[0]).await, State::Completed);
            assert_eq!(rig.handler.calls().len(), 1);
        }
    }
}

/// Whatever keeps an outcome from the log: the handler has done its work.
#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_not_on_record_holds_up_nobody_and_is_not_asked_for_again() {
    for error in [ErrorKind::StorageFull, ErrorKind::OutOfMemory] {
        for kind in KINDS {
            let rig = Rig::with(kind, |config| config.delivery.max_concurrent = 1);
            let answer = rig.handler.will_wait();
            let id = rig.upload(CHUNK).await;
            let request = rig.whole_request(&id, 0, &content(CHUNK));
            rig.handler.called(1).await;
            let other = rig.nearly(2 * CHUNK).await;
            for _ in 0..5 {
                rig.faults.fail(Point::LogAppend, error);
            }
            answer.send(201).unwrap();
            rig.until_resting(&id).await;
            let still_full = rig.faults.take(Point::LogAppend);
            assert_eq!(still_full.len(), 4);
            let view = rig
                .send(&other, 1, &chunk(2 * CHUNK, 1))
                .await
                .unwrap()
                .view;
            assert_eq!(
                view.state,
                State::Completed,
                "{kind:?}: nobody holds the permit"
            );
            for error in still_full {
                rig.faults.fail(Point::LogAppend, error);
            }
            request.await.unwrap().unwrap();
            rig.settled(&id).await;
            let view = rig.view(&id).await.unwrap();
            assert_eq!(view.state, State::Completed, "{kind:?} {error:?}");
            assert_eq!(view.answer.unwrap().status, 201);
            let keys = rig.handler.calls().into_iter().map(|call| call.key);
            assert_eq!(keys.filter(|&key| key == id.key()).count(), 1, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_waits_for_the_log_no_longer_than_the_upload_is_kept() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        for _ in 0..100 {
            rig.faults.fail(Point::LogAppend, ErrorKind::StorageFull);
        }
        answer.send(200).unwrap();
        assert!(request.await.unwrap().unwrap().view.finishing, "{kind:?}");
        rig.pass(25 * HOUR);
        rig.settled(&id).await;
        rig.engine.sweep().await;
        assert!(rig.store().list().await.unwrap().is_empty(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_an_outcome_a_last_chance_and_does_not_wait_for_more() {
    for (fails, state) in [(1, State::Completed), (100, State::Finishing)] {
        for kind in KINDS {
            let rig = Rig::new(kind);
            let answer = rig.handler.will_wait();
            let id = rig.upload(CHUNK).await;
            let request = rig.whole_request(&id, 0, &content(CHUNK));
            rig.handler.called(1).await;
            for _ in 0..fails {
                rig.faults.fail(Point::LogAppend, ErrorKind::StorageFull);
            }
            answer.send(200).unwrap();
            rig.until_resting(&id).await;
            let begun = Instant::now();
            rig.engine.drain().await;
            assert_eq!(
                request.await.unwrap().unwrap().view.state,
                state,
                "{kind:?}"
            );
            assert_eq!(begun.elapsed(), Duration::ZERO, "{kind:?}");
        }
    }
}

/// Nobody else is needed to note it.
#[tokio::test(start_paused = true)]
async fn an_outcome_is_noted_while_the_other_servers_are_away() {
    for ends in [false, true] {
        let others = Others::new();
        let rig = Rig::among(Kind::Disk, Some(others.clone()), |_| {});
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        rig.faults.fail(Point::LogAppend, ErrorKind::StorageFull);
        answer.send(200).unwrap();
        rig.until_resting(&id).await;
        others.reachable.store(false, Ordering::Relaxed);
        if ends {
            rig.engine.drain().await;
        }
        let view = request.await.unwrap().unwrap().view;
        assert_eq!(view.state, State::Completed, "{ends}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_begins_no_hand_off_that_waits_for_its_turn() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| config.delivery.max_concurrent = 1);
        let answer = rig.handler.will_wait();
        let mut requests = Vec::new();
        for _ in 0..3 {
            let id = rig.upload(CHUNK).await;
            requests.push(rig.whole_request(&id, 0, &content(CHUNK)));
            rig.handler.called(1).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let engine = Arc::clone(&rig.engine);
        let begun = Instant::now();
        let drained = tokio::spawn(async move { engine.drain().await });
        let running = requests.remove(0);
        for waiting in requests {
            let view = waiting.await.unwrap().unwrap().view;
            assert_eq!(view.state, State::Receiving, "{kind:?}");
            assert!(view.finishing);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "its client is not kept");
        assert!(!drained.is_finished());
        answer.send(200).unwrap();
        drained.await.unwrap();
        assert_eq!(running.await.unwrap().unwrap().view.state, State::Completed);
        tokio::time::sleep(HOUR).await;
        assert_eq!(rig.handler.calls().len(), 1, "{kind:?}");
    }
}

/// The log is read anew after an error, and may hold what the error was about.
#[tokio::test(start_paused = true)]
async fn what_is_held_is_asked_for_by_nobody() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| config.delivery.on_unknown = OnUnknown::Hold);
        rig.handler.will(Step::Panic);
        let id = rig.upload(CHUNK).await;
        assert_eq!(rig.send_only(&id).await.unwrap().view.state, State::Unknown);
        for _ in 0..3 {
            let next = rig.again(|_| {});
            assert_eq!(next.engine.recover(Some(&next.deliver())).await, 0);
            assert_eq!(
                next.send_only(&id).await.unwrap().view.state,
                State::Unknown
            );
            next.engine.want_hand_off(id.key(), &next.deliver(), false);
            next.settled(&id).await;
            tokio::time::sleep(HOUR).await;
            assert_eq!(next.state(&id).await, State::Unknown, "{kind:?}");
            assert!(next.handler.calls().is_empty(), "{kind:?}");
        }
        assert_eq!(rig.handler.calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_upload_leaves_the_schedule() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503]);
        let id = rig.upload(CHUNK).await;
        rig.send_only(&id).await.unwrap();
        assert!(rig.engine.schedule.knows(id.key()));
        rig.engine.cancel(&id).await.unwrap();
        assert!(!rig.engine.schedule.knows(id.key()), "{kind:?}");
    }
}

/// The mark of an upload that is delivered comes before the entry that says so.
#[tokio::test(start_paused = true)]
async fn an_upload_whose_process_died_between_mark_and_seal_is_handed_over() {
    for kind in [Kind::Disk, Kind::DiskBlocking] {
        let (rig, ids) = left_behind(kind, 1, 1).await;
        let marks = rig.path().join("delivering");
        fs::create_dir_all(&marks).unwrap();
        fs::write(marks.join(ids[0].key().to_string()), "").unwrap();
        assert_eq!(
            rig.engine.recover(Some(&rig.deliver())).await,
            1,
            "{kind:?}"
        );
        rig.handler.called(1).await;
        rig.settled(&ids[0]).await;
        assert_eq!(rig.state(&ids[0]).await, State::Completed);
    }
}
