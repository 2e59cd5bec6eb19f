//! What nobody took is offered again on one schedule.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::faults::Point;
use super::handler::Step;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::upload::State;

fn seconds_between(rig: &Rig) -> Vec<u64> {
    let calls = rig.handler.calls();
    calls
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).as_secs())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn attempts_follow_each_other_after_1_s_doubling_to_5_min() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler
            .will_answer([404, 405, 408, 421, 425, 429, 500, 501, 502, 503, 599]);
        let id = rig.upload(CHUNK).await;
        let view = rig.send_only(&id).await.unwrap().view;
        assert_eq!(
            view.state,
            State::Undelivered,
            "the first failure is told at once"
        );
        assert_eq!(view.retry_after, Duration::from_secs(1));
        rig.handler.called(12).await;
        assert_eq!(
            seconds_between(&rig),
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
        );
        rig.settled(&id).await;
        let view = rig.view(&id).await.unwrap();
        assert_eq!(view.state, State::Completed, "{kind:?}");
        assert!(
            rig.handler
                .calls()
                .iter()
                .all(|call| call.bytes == content(CHUNK))
        );
        assert!(rig.handler.calls().iter().all(|call| call.key == id.key()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_sent_again_pulls_the_next_attempt_forward() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503, 503]);
        let id = rig.upload(CHUNK).await;
        rig.send_only(&id).await.unwrap();
        let begun = Instant::now();
        let view = rig.send_only(&id).await.unwrap().view;
        assert_eq!(rig.handler.calls().len(), 2);
        assert_eq!(begun.elapsed(), Duration::ZERO, "{kind:?}");
        assert_eq!(view.state, State::Undelivered);
        assert_eq!(view.retry_after, Duration::from_secs(2));
        let view = rig.send_only(&id).await.unwrap().view;
        assert_eq!(
            (view.state, rig.handler.calls().len()),
            (State::Completed, 3)
        );
    }
}

/// Many chunks sent again at the same time do not make as many attempts.
#[tokio::test(start_paused = true)]
async fn a_step_is_pulled_forward_once() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503]);
        let answer = rig.handler.will_wait();
        let id = rig.nearly(3 * CHUNK).await;
        rig.send(&id, 2, &chunk(3 * CHUNK, 2)).await.unwrap();
        let pulls: Vec<_> = (0..3)
            .map(|number| rig.whole_request(&id, number, &chunk(3 * CHUNK, number)))
            .collect();
        rig.handler.called(2).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let ended = Instant::now();
        answer.send(503).unwrap();
        for pull in pulls {
            let view = pull.await.unwrap().unwrap().view;
            assert_eq!(view.state, State::Undelivered);
        }
        assert_eq!(rig.handler.calls().len(), 2, "{kind:?}");
        rig.handler.called(3).await;
        assert_eq!(
            ended.elapsed(),
            Duration::from_secs(2),
            "the schedule goes on as it would"
        );
    }
}

/// A pull at the very moment the schedule makes its attempt must not be left over for the next.
#[tokio::test(start_paused = true)]
async fn a_pull_and_the_schedule_at_the_same_moment_make_one_attempt() {
    // Both wake at once; which one is first, and which of two reasons the other sees, is chance.
    for (kind, round) in (0..60).map(|round| (KINDS[round % 3], round)) {
        let rig = Arc::new(Rig::new(kind));
        rig.handler.will_answer([503]);
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        let moment = Instant::now() + Duration::from_secs(1);
        let pull = {
            let (rig, id) = (Arc::clone(&rig), id.clone());
            async move {
                tokio::time::sleep_until(moment).await;
                rig.send_only(&id).await
            }
        };
        let pull = tokio::spawn(pull);
        tokio::task::yield_now().await;
        rig.send_only(&id).await.unwrap();
        rig.handler.called(2).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let ended = Instant::now();
        answer.send(503).unwrap();
        rig.handler.called(3).await;
        assert_eq!(seconds_between(&rig)[0], 1, "{kind:?} {round}");
        assert_eq!(ended.elapsed(), Duration::from_secs(2), "{kind:?} {round}");
        assert_eq!(pull.await.unwrap().unwrap().view.state, State::Undelivered);
    }
}

#[tokio::test(start_paused = true)]
async fn status_pulls_nothing() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503; 3]);
        let id = rig.upload(CHUNK).await;
        rig.send_only(&id).await.unwrap();
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(rig.state(&id).await, State::Undelivered);
        }
        assert_eq!(rig.handler.calls().len(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_end_when_the_upload_expires() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503; 100]);
        let id = rig.upload(CHUNK).await;
        rig.send_only(&id).await.unwrap();
        rig.handler.called(3).await;
        rig.pass(Duration::from_secs(25 * 3600));
        rig.settled(&id).await;
        let calls = rig.handler.calls().len();
        assert!(calls <= 4, "{kind:?}: {calls}");
        rig.engine.sweep().await;
        assert!(rig.store().list().await.unwrap().is_empty(), "{kind:?}");
        assert!(!rig.data_file(&id).exists());
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_does_not_fit_the_log_is_kept_until_it_does() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        rig.faults
            .fail(Point::LogAppend, std::io::ErrorKind::StorageFull);
        answer.send(200).unwrap();
        let view = request.await.unwrap().unwrap().view;
        assert_eq!(view.state, State::Completed, "{kind:?}");
        rig.settled(&id).await;
        assert_eq!(rig.handler.calls().len(), 1, "the handler is asked once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_is_tried_again() {
    let rig = Rig::new(Kind::Disk);
    let mut declaration = crate::upload::tests::sample::declaration(CHUNK);
    let mut hasher = crate::upload::Hasher::new(crate::upload::Algorithm::Sha256);
    hasher.update(&content(CHUNK));
    declaration.digests = vec![hasher.finish()];
    let id = rig.create(declaration, "").await.unwrap().id;
    rig.faults.fail(Point::BlobRead, std::io::ErrorKind::Other);
    let view = rig.send_only(&id).await.unwrap().view;
    assert_eq!(view.state, State::Finishing);
    rig.handler.called(1).await;
    rig.settled(&id).await;
    assert_eq!(rig.state(&id).await, State::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_recovers_is_believed() {
    let rig = Rig::new(Kind::Memory);
    rig.handler.will(Step::Answer(503));
    rig.handler.will(Step::Panic);
    rig.handler.will(Step::Break);
    rig.handler.will(Step::Answer(201));
    let id = rig.upload(CHUNK).await;
    rig.send_only(&id).await.unwrap();
    rig.handler.called(4).await;
    rig.settled(&id).await;
    let view = rig.view(&id).await.unwrap();
    assert_eq!(
        (view.state, view.answer.unwrap().status),
        (State::Completed, 201)
    );
    assert_eq!(seconds_between(&rig), [1, 2, 4]);
}
