//! One hand-off, whoever ends the upload, and a bounded wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::time::Instant;

use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::engine::Refusal;
use crate::upload::State;
use crate::upload::tests::sample;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_chunks_that_come_at_once_make_one_hand_off() {
    for (kind, round) in (0..300).map(|round| (KINDS[round % 3], round)) {
        let rig = Arc::new(Rig::new(kind));
        let total = 4 * CHUNK;
        let id = rig.upload(total).await;
        let start = Arc::new(Barrier::new(4));
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..4 {
            let (rig, id, start) = (Arc::clone(&rig), id.clone(), Arc::clone(&start));
            requests.spawn(async move {
                start.wait().await;
                rig.send(&id, number, &chunk(total, number)).await.unwrap()
            });
        }
        let appended = requests.join_all().await;
        assert!(appended.iter().all(|appended| !appended.duplicate));
        let completed = appended.iter().filter(|a| a.view.state == State::Completed);
        assert!(completed.count() >= 1, "{kind:?} {round}");
        let told_to_come_back = appended.iter().any(|a| a.view.finishing);
        assert!(!told_to_come_back, "{kind:?} {round}: the outcome was near");
        assert_eq!(rig.handler.calls().len(), 1, "{kind:?} {round}");
        assert_eq!(rig.handler.calls()[0].bytes, content(total));
    }
}

/// The same last chunk from several connections of an impatient client.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_last_chunk_sent_many_times_makes_one_hand_off() {
    for (kind, round) in (0..150).map(|round| (KINDS[round % 3], round)) {
        let rig = Arc::new(Rig::new(kind));
        let id = rig.nearly(2 * CHUNK).await;
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (rig, id) = (Arc::clone(&rig), id.clone());
            requests.spawn(async move { rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await });
        }
        let mut first_hand = 0;
        for outcome in requests.join_all().await {
            match outcome {
                Ok(appended) => {
                    assert_eq!(appended.view.state, State::Completed, "{kind:?} {round}");
                    assert_eq!(appended.view.answer.unwrap().status, 200);
                    first_hand += usize::from(!appended.duplicate);
                }
                Err(refusal) => assert_eq!(refusal, Refusal::Superseded, "{kind:?} {round}"),
            }
        }
        assert_eq!(first_hand, 1, "{kind:?} {round}");
        assert_eq!(rig.handler.calls().len(), 1, "{kind:?} {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_no_longer_than_it_should() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| {
            config.delivery.finalize_wait = Duration::from_secs(20);
        });
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        for duplicate in [false, true] {
            let begun = Instant::now();
            let appended = rig.send_only(&id).await.unwrap();
            assert_eq!(begun.elapsed().as_secs(), 20, "{kind:?}");
            assert_eq!(appended.duplicate, duplicate);
            assert!(appended.view.finishing);
            assert_eq!(appended.view.state, State::Finishing);
        }
        answer.send(201).unwrap();
        rig.settled(&id).await;
        let again = rig.send_only(&id).await.unwrap();
        assert!(again.duplicate && !again.view.finishing);
        assert_eq!(again.view.answer.unwrap().status, 201);
        assert_eq!(rig.handler.calls().len(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_gets_the_answer_as_soon_as_there_is_one() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let answer = rig.handler.will_wait();
        let id = rig.upload(CHUNK).await;
        let first = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        let second = rig.whole_request(&id, 0, &content(CHUNK));
        tokio::time::sleep(Duration::from_secs(5)).await;
        let begun = Instant::now();
        answer.send(201).unwrap();
        for request in [first, second] {
            let view = request.await.unwrap().unwrap().view;
            assert_eq!(view.state, State::Completed);
            assert_eq!(view.answer.unwrap().status, 201);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "{kind:?}");
    }
}

#[tokio::test]
async fn without_patience_the_client_is_told_to_come_back_at_once() {
    let rig = Rig::with(Kind::Memory, |config| {
        config.delivery.finalize_wait = Duration::ZERO;
    });
    let answer = rig.handler.will_wait();
    let id = rig.upload(CHUNK).await;
    assert!(rig.send_only(&id).await.unwrap().view.finishing);
    rig.handler.called(1).await;
    answer.send(200).unwrap();
    rig.settled(&id).await;
    assert_eq!(rig.state(&id).await, State::Completed);
}

#[tokio::test]
async fn an_answer_is_replayed_whatever_chunk_is_sent_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([303]);
        let id = rig.nearly(3 * CHUNK).await;
        rig.send(&id, 2, &chunk(3 * CHUNK, 2)).await.unwrap();
        for number in 0..3 {
            let again = rig
                .send(&id, number, &chunk(3 * CHUNK, number))
                .await
                .unwrap();
            assert!(again.duplicate);
            assert_eq!(again.view.state, State::Completed);
            assert_eq!(again.view.answer.as_deref(), Some(&sample::answer(303)));
        }
        // Another process has the same to say.
        let next = rig.again(|_| {});
        let again = next.send(&id, 1, &chunk(3 * CHUNK, 1)).await.unwrap();
        assert_eq!(again.view.state, State::Completed);
        assert_eq!(
            rig.handler.calls().len() + next.handler.calls().len(),
            1,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn an_empty_file_is_handed_over_at_once() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let created = rig.create(sample::declaration(0), "").await.unwrap();
        assert_eq!(created.view.state, State::Completed, "{kind:?}");
        assert_eq!(created.view.crc32c, Some(0));
        assert_eq!(rig.handler.calls().len(), 1);
        assert!(rig.handler.calls()[0].bytes.is_empty());
        let refusal = rig.send(&created.id, 0, b"").await.unwrap_err();
        assert_eq!(refusal, Refusal::ChunkRange { total_chunks: 0 });
        assert_eq!(rig.engine.sessions(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_that_nobody_took_is_offered_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503]);
        let declaration = sample::declaration(0);
        let id = sample::id(9);
        let created = rig
            .create_as(id.clone(), true, declaration.clone(), "")
            .await
            .unwrap();
        assert_eq!(created.view.state, State::Undelivered);
        // Asking for it again is the only way its client has to hurry it.
        let begun = Instant::now();
        let created = rig.create_as(id, true, declaration, "").await.unwrap();
        assert_eq!(created.view.state, State::Completed, "{kind:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(rig.handler.calls().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn hand_offs_at_once_have_a_bound() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| config.delivery.max_concurrent = 2);
        let answers: Vec<_> = (0..3).map(|_| rig.handler.will_wait()).collect();
        let mut requests = Vec::new();
        for _ in 0..3 {
            let id = rig.upload(CHUNK).await;
            requests.push(rig.whole_request(&id, 0, &content(CHUNK)));
        }
        rig.handler.called(2).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(rig.handler.calls().len(), 2, "{kind:?}");
        for answer in answers {
            answer.send(200).unwrap();
            rig.handler.called(3).await;
        }
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().view.state, State::Completed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_running_hand_offs_and_starts_none() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let answer = rig.handler.will_wait();
        let running = rig.upload(CHUNK).await;
        let request = rig.whole_request(&running, 0, &content(CHUNK));
        rig.handler.called(1).await;
        let late = rig.upload(CHUNK).await;
        let engine = Arc::clone(&rig.engine);
        let drained = tokio::spawn(async move { engine.drain().await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!drained.is_finished(), "{kind:?}");
        let refusal = rig.create(sample::declaration(1), "").await.unwrap_err();
        assert_eq!(refusal, Refusal::Draining);
        let appended = rig.send_only(&late).await.unwrap();
        assert!(
            appended.view.finishing,
            "it is kept, and left to the next process"
        );
        answer.send(200).unwrap();
        drained.await.unwrap();
        assert_eq!(request.await.unwrap().unwrap().view.state, State::Completed);
        assert_eq!(rig.handler.calls().len(), 1);
        let next = rig.again(|_| {});
        assert_eq!(next.engine.recover(Some(&next.deliver())).await, 1);
        next.settled(&late).await;
        assert_eq!(next.state(&late).await, State::Completed, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn draining_does_not_wait_for_the_next_attempt() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503; 20]);
        let id = rig.upload(CHUNK).await;
        rig.send_only(&id).await.unwrap();
        let begun = Instant::now();
        rig.engine.drain().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "{kind:?}");
        assert_eq!(rig.state(&id).await, State::Undelivered);
    }
}
