//! What happens is told and counted: once, in order, and after it is on record.

use std::time::Duration;

use super::handler::Step;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::engine::{Redelivery, Refusal};
use crate::event::{Event, Handoff, Subscription, What};
use crate::network::By;
use crate::upload::tests::sample;
use crate::upload::{SessionId, State, UploadKey};

const PAUSED: Refusal = Refusal::Paused {
    settle: Duration::from_secs(2),
};

/// The kinds of the next events, which all are of this upload, with the bytes that are safe.
async fn heard(events: &mut Subscription, id: &SessionId, count: usize) -> Vec<(What, u64)> {
    let (mut heard, mut revision) = (Vec::new(), 0);
    for _ in 0..count {
        let Some(Ok(Event::Upload(change))) = events.next().await else {
            panic!("an event of an upload");
        };
        assert_eq!(change.key, id.key());
        assert!(change.revision > revision || change.what == What::Expired);
        revision = change.revision;
        heard.push((change.what, change.uploaded));
    }
    heard
}

fn states(rig: &Rig) -> Vec<(&'static str, usize)> {
    rig.engine
        .states()
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_told_from_its_beginning_to_its_end() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let mut events = rig.engine.events().subscribe();
        rig.handler.will_answer([503, 200]);
        let id = rig.upload(2 * CHUNK).await;
        for number in [1, 0] {
            let bytes = chunk(2 * CHUNK, number);
            rig.send(&id, number, &bytes).await.unwrap();
        }
        rig.settled(&id).await;
        let expected = [
            (What::Created, 0),
            (What::Progress, 10),
            (What::Progress, 20),
            (What::Finishing, 20),
            (What::Undelivered, 20),
            (What::Finishing, 20),
            (What::Completed, 20),
        ];
        assert_eq!(heard(&mut events, &id, 7).await, expected, "{kind:?}");
        assert_eq!(states(&rig), [("completed", 1)]);
        rig.pass(Duration::from_secs(25 * 3_600));
        rig.engine.sweep().await;
        assert_eq!(heard(&mut events, &id, 1).await, [(What::Expired, 20)]);
        assert_eq!(states(&rig), []);

        let counts = rig.engine.events().counts();
        assert_eq!((counts.chunks.sum(), counts.chunk_bytes.sum()), (2, 20));
        assert_eq!(counts.received_bytes.sum(), 20);
        assert_eq!(counts.handoffs(Handoff::Undelivered), 1);
        assert_eq!(counts.handoffs(Handoff::Completed), 1);
        assert_eq!(counts.handoffs(Handoff::Rejected), 0);
        assert_eq!(counts.happened(What::Finishing), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_twice_or_given_up_is_counted_apart() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        let (mut old, older) = rig.request(&id, 0);
        old.send(&content(4));
        old.gave(1).await;
        rig.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap();
        assert_eq!(older.await.unwrap().unwrap_err(), Refusal::Superseded);
        rig.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap();
        let counts = rig.engine.events().counts();
        assert_eq!(counts.takeovers.sum(), 1, "{kind:?}");
        assert_eq!(counts.duplicates.sum(), 1);
        assert_eq!((counts.chunks.sum(), counts.chunk_bytes.sum()), (1, 10));
        assert_eq!(counts.received_bytes.sum(), 4 + 10 + 10);
    }
}

#[tokio::test(start_paused = true)]
async fn states_are_counted_over_restarts() {
    let rig = Rig::new(Kind::Disk);
    rig.handler.will_answer([422, 200]);
    let rejected = rig.upload(CHUNK).await;
    rig.send_only(&rejected).await.unwrap();
    let completed = rig.upload(CHUNK).await;
    rig.send_only(&completed).await.unwrap();
    let cancelled = rig.upload(CHUNK).await;
    rig.engine.cancel(&cancelled).await.unwrap();
    rig.nearly(2 * CHUNK).await;
    let expected = [
        ("receiving", 1),
        ("completed", 1),
        ("rejected", 1),
        ("cancelled", 1),
    ];
    assert_eq!(states(&rig), expected);
    let next = rig.again(|_| {});
    assert_eq!(states(&next), []);
    next.engine.recover(None).await;
    assert_eq!(states(&next), expected);
}

#[tokio::test(start_paused = true)]
async fn an_operators_pause_ends_by_hand_only_and_is_not_waited_for_for_ever() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.upload(2 * CHUNK).await;
    let (mut client, request) = rig.request(&id, 0);
    client.send(&chunk(2 * CHUNK, 0)[..5]);
    client.gave(1).await;
    rig.engine.gate().shut(By::Operator);
    rig.engine.gate().shut(By::Network);
    rig.engine.gate().open(By::Network);
    assert!(rig.view(&id).await.unwrap().paused);
    client.send(&chunk(2 * CHUNK, 0)[5..]);
    let paused = tokio::time::Instant::now();
    assert_eq!(request.await.unwrap().unwrap_err(), PAUSED);
    assert_eq!(paused.elapsed().as_secs(), 16, "max_pause and a second");
    let (_client, refused) = rig.request(&id, 0);
    assert_eq!(refused.await.unwrap().unwrap_err(), PAUSED);
    rig.engine.gate().open(By::Operator);
    rig.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn uploads_are_listed_newest_first_and_page_by_page() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(rig.upload(CHUNK).await.key());
            rig.pass(Duration::from_millis(1));
        }
        rig.close_all();
        made.reverse();
        let mut found: Vec<UploadKey> = Vec::new();
        let mut place = None;
        for size in [2, 2, 1] {
            let (views, next) = rig.engine.newest(place, 2).await;
            assert_eq!(views.len(), size, "{kind:?}");
            found.extend(views.iter().map(|view| view.key));
            assert_eq!(next.is_some(), size == 2);
            place = next;
        }
        assert_eq!(found, made);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_can_be_handed_over_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let key = id.key();
        assert_eq!(rig.engine.redeliver(key).await, Ok(Redelivery::Nobody));
        let deliver = rig.deliver();
        rig.engine.recover(Some(&deliver)).await;
        assert_eq!(rig.engine.redeliver(key).await, Ok(Redelivery::Unfit));
        rig.handler.will_answer([422, 503, 200]);
        rig.send_only(&id).await.unwrap();
        assert_eq!(rig.state(&id).await, State::Rejected);
        assert_eq!(rig.engine.sessions(), 0);
        let mut events = rig.engine.events().subscribe();
        assert_eq!(rig.engine.redeliver(key).await, Ok(Redelivery::Due));
        rig.settled(&id).await;
        assert_eq!(rig.state(&id).await, State::Completed, "{kind:?}");
        let whats: Vec<_> = heard(&mut events, &id, 4).await;
        let whats: Vec<_> = whats.into_iter().map(|(what, _)| what).collect();
        let expected = [
            What::Finishing,
            What::Undelivered,
            What::Finishing,
            What::Completed,
        ];
        assert_eq!(whats, expected);
        let calls = rig.handler.calls();
        assert_eq!(calls.len(), 3);
        assert!(calls.iter().all(|call| call.bytes == content(CHUNK)));
        assert_eq!(rig.engine.sessions(), 0, "counted out again");
        assert!(!rig.data_file(&id).exists());
        assert_eq!(rig.engine.redeliver(key).await, Ok(Redelivery::Unfit));
        let unknown = sample::id(200).key();
        assert_eq!(rig.engine.redeliver(unknown).await, Err(Refusal::NoSession));
    }
}

/// It is counted among the unfinished ones while it is handed over again.
#[tokio::test(start_paused = true)]
async fn what_is_handed_over_again_is_unfinished_again() {
    let rig = Rig::new(Kind::Disk);
    let deliver = rig.deliver();
    rig.engine.recover(Some(&deliver)).await;
    let id = rig.upload(CHUNK).await;
    rig.handler.will_answer([422]);
    rig.send_only(&id).await.unwrap();
    let answer = rig.handler.will_wait();
    rig.engine.redeliver(id.key()).await.unwrap();
    rig.handler.called(2).await;
    assert_eq!(rig.engine.sessions(), 1);
    assert_eq!(states(&rig), [("finishing", 1)]);
    answer.send(422).unwrap();
    rig.settled(&id).await;
    assert_eq!(rig.engine.sessions(), 0);
    assert_eq!(states(&rig), [("rejected", 1)]);
    assert!(rig.data_file(&id).exists(), "it may be asked for again");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_handed_over_when_an_operator_says_so() {
    let rig = Rig::with(Kind::Disk, |config| {
        config.delivery.on_unknown = crate::config::OnUnknown::Hold;
    });
    let deliver = rig.deliver();
    rig.engine.recover(Some(&deliver)).await;
    let id = rig.upload(CHUNK).await;
    rig.handler.will(Step::Break);
    rig.send_only(&id).await.unwrap();
    assert_eq!(rig.state(&id).await, State::Unknown);
    assert_eq!(rig.engine.redeliver(id.key()).await, Ok(Redelivery::Due));
    rig.settled(&id).await;
    assert_eq!(rig.state(&id).await, State::Completed);
}

/// Who hears of a refusal may ask at once, while the attempt that led to it is not quite over.
#[tokio::test(start_paused = true)]
async fn a_wish_during_an_attempt_and_before_one_is_kept() {
    for is_running in [true, false] {
        let rig = Rig::new(Kind::Disk);
        let deliver = rig.deliver();
        rig.engine.recover(Some(&deliver)).await;
        let id = rig.upload(CHUNK).await;
        rig.handler.will_answer([422]);
        rig.send_only(&id).await.unwrap();
        rig.settled(&id).await;
        let schedule = &rig.engine.schedule;
        assert!(schedule.want(id.key(), &deliver, false));
        if is_running {
            let job = schedule.next().await.unwrap();
            assert_eq!(rig.engine.redeliver(id.key()).await, Ok(Redelivery::Due));
            rig.engine.attempt_once(job).await;
            assert!(schedule.knows(id.key()), "it is wanted again");
            rig.engine
                .attempt_once(schedule.next().await.unwrap())
                .await;
        } else {
            assert_eq!(rig.engine.redeliver(id.key()).await, Ok(Redelivery::Due));
        }
        rig.settled(&id).await;
        assert_eq!(rig.state(&id).await, State::Completed, "{is_running}");
        assert_eq!(rig.handler.calls().len(), 2);
    }
}

/// A wish is for one attempt, however often it comes before that begins.
#[tokio::test(start_paused = true)]
async fn a_wish_that_comes_twice_is_one() {
    let rig = Rig::new(Kind::Disk);
    let deliver = rig.deliver();
    rig.engine.recover(Some(&deliver)).await;
    let id = rig.upload(CHUNK).await;
    rig.handler.will_answer([422, 422]);
    rig.send_only(&id).await.unwrap();
    rig.settled(&id).await;
    let schedule = &rig.engine.schedule;
    assert!(schedule.want(id.key(), &deliver, true));
    let job = schedule.next().await.unwrap();
    assert_eq!(rig.engine.redeliver(id.key()).await, Ok(Redelivery::Due));
    rig.engine.attempt_once(job).await;
    assert!(!schedule.knows(id.key()));
    assert_eq!(rig.state(&id).await, State::Rejected);
    assert_eq!(rig.handler.calls().len(), 2);
}
