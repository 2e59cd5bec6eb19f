//! How the next process finds what there is: first what matters, nothing twice, and never in a hurry.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Point;
use super::handler::Step;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::upload::State;
use crate::upload::tests::sample;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn uploads_caught_in_hand_off_are_found_before_all_others() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let (tell, _) = tokio::sync::oneshot::channel();
        rig.handler.will(Step::Never(tell));
        for _ in 0..5 {
            rig.nearly(2 * CHUNK).await;
        }
        let id = rig.upload(CHUNK).await;
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.handler.called(1).await;
        let next = rig.again(|_| {});
        next.faults.store_list.shut();
        let (engine, deliver) = (Arc::clone(&next.engine), next.deliver());
        let recovery = tokio::spawn(async move { engine.recover(Some(&deliver)).await });
        next.handler.called(1).await;
        assert_eq!(next.faults.count(Point::StoreRead), 1, "{kind:?}");
        next.faults.store_list.open();
        assert_eq!(recovery.await.unwrap(), 1, "{kind:?}: it is found once");
        next.settled(&id).await;
        assert_eq!(next.state(&id).await, State::Completed, "{kind:?}");
        assert_eq!(next.handler.calls().len(), 1);
        assert!(next.store().delivering().await.unwrap().is_empty());
        request.abort();
    }
}

/// What a power cut kept of an upload that ended, and of one that was withdrawn.
#[tokio::test]
async fn marks_that_are_not_true_any_more_are_removed() {
    let rig = Rig::new(Kind::Disk);
    let completed = rig.upload(CHUNK).await;
    rig.send_only(&completed).await.unwrap();
    let receiving = rig.nearly(2 * CHUNK).await;
    let keys = [completed.key(), receiving.key(), sample::key(200)];
    for key in keys {
        let dir = rig.path().join("delivering");
        fs::write(dir.join(key.to_string()), "").unwrap();
    }
    assert_eq!(rig.store().delivering().await.unwrap().len(), 3);
    let next = rig.again(|_| {});
    assert_eq!(next.engine.recover(Some(&next.deliver())).await, 0);
    assert!(next.store().delivering().await.unwrap().is_empty());
    assert_eq!(next.state(&completed).await, State::Completed);
    assert_eq!(next.state(&receiving).await, State::Receiving);
    assert_eq!(next.engine.sessions(), 1);
}

/// Unfinished uploads that are nearly a day old are not read every minute of it.
#[tokio::test(start_paused = true)]
async fn a_sweep_reads_only_what_may_have_expired() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let old: [_; 3] = [
            rig.nearly(2 * CHUNK).await,
            rig.nearly(2 * CHUNK).await,
            rig.nearly(2 * CHUNK).await,
        ];
        rig.pass(23 * 60 * MINUTE);
        let next = rig.again(|_| {});
        next.engine.recover(None).await;
        assert_eq!(
            next.faults.count(Point::StoreRead),
            3,
            "{kind:?}: each once"
        );
        for _ in 0..58 {
            next.pass(MINUTE);
            next.engine.sweep().await;
        }
        assert_eq!(next.faults.count(Point::StoreRead), 3, "{kind:?}");
        next.send(&old[0], 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        next.pass(2 * MINUTE);
        next.engine.sweep().await;
        assert_eq!(next.state(&old[0]).await, State::Completed, "{kind:?}");
        for id in &old[1..] {
            assert!(next.store().read(id.key()).await.unwrap().is_none());
        }
        assert_eq!(next.faults.count(Point::StoreRead), 5, "{kind:?}");
    }
}

/// What ended expires by its own time, however long it might have been waited for.
#[tokio::test(start_paused = true)]
async fn an_answer_with_a_short_time_is_not_kept_for_the_long_one() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| {
            config.uploads.result_retention = MINUTE;
            config.uploads.first_byte_timeout = Duration::from_secs(24 * 3_600);
        });
        let id = rig.upload(CHUNK).await;
        rig.engine.sweep().await;
        rig.send_only(&id).await.unwrap();
        rig.pass(MINUTE);
        rig.engine.sweep().await;
        assert!(
            rig.store().read(id.key()).await.unwrap().is_none(),
            "{kind:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn work_in_the_background_rests() {
    let rig = Rig::new(Kind::Memory);
    let mut id = [0; 32];
    for number in 0..640_u16 {
        id[..2].copy_from_slice(&number.to_le_bytes());
        let id = crate::upload::SessionId::new(id, None);
        let header = sample::header(CHUNK);
        rig.store().create(id.key(), header).await.unwrap();
    }
    let next = rig.again(|_| {});
    let begun = tokio::time::Instant::now();
    next.engine.recover(None).await;
    assert_eq!(next.engine.sessions(), 640);
    assert_eq!(begun.elapsed(), 10 * Duration::from_millis(5));
    // They expire all at once.
    next.pass(24 * 60 * MINUTE);
    let begun = tokio::time::Instant::now();
    next.engine.sweep().await;
    assert_eq!(next.engine.sessions(), 0);
    assert_eq!(begun.elapsed(), 10 * Duration::from_millis(5));
}

/// Somebody put a log back, or there was a reason not to read it.
#[tokio::test(start_paused = true)]
async fn the_directory_is_looked_at_again() {
    let rig = Rig::new(Kind::Disk);
    rig.engine.recover(None).await;
    rig.again(|_| {}).nearly(2 * CHUNK).await;
    rig.pass(59 * MINUTE);
    rig.engine.sweep().await;
    assert_eq!(rig.engine.sessions(), 0);
    rig.pass(MINUTE);
    rig.engine.sweep().await;
    assert_eq!(rig.engine.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_could_not_be_read_is_read_later() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let next = rig.again(|_| {});
        next.faults
            .fail(Point::StoreRead, std::io::ErrorKind::Other);
        next.engine.recover(None).await;
        assert_eq!(next.engine.sessions(), 1, "{kind:?}: it takes room");
        next.pass(59 * MINUTE);
        next.engine.sweep().await;
        assert!(next.store().read(id.key()).await.unwrap().is_some());
        next.pass(MINUTE);
        next.engine.sweep().await;
        assert!(
            next.store().read(id.key()).await.unwrap().is_none(),
            "{kind:?}"
        );
        assert_eq!(next.engine.sessions(), 0);
    }
}
