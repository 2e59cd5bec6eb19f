//! The bytes of a request: read while the network is quiet, and while patience lasts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::engine::Refusal;
use crate::network::By;
use crate::upload::State;
use crate::upload::tests::sample;

const SECOND: Duration = Duration::from_secs(1);
/// What a new request is told when the network does not settle in time.
const PAUSED: Refusal = Refusal::Paused {
    settle: Duration::from_secs(2),
};
/// Longer than anything takes that is not waiting; no time at all on the paused clock.
const A_WHILE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn in_a_pause_nothing_is_read() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let whole = content(CHUNK);
        let (mut client, request) = rig.request(&id, 0);
        client.send(&whole[..4]);
        client.gave(1).await;
        assert!(!rig.view(&id).await.unwrap().paused);
        rig.engine.gate().shut(By::Network);
        assert_eq!(rig.engine.receiving(), 1);
        assert!(rig.view(&id).await.unwrap().paused);
        // One piece may be on its way already.
        for piece in whole[4..].chunks(1) {
            client.send(piece);
        }
        sleep(A_WHILE).await;
        assert!(client.taken() <= 2, "{kind:?}: {}", client.taken());
        rig.engine.gate().open(By::Network);
        drop(client);
        assert!(!request.await.unwrap().unwrap().duplicate);
        assert_eq!(rig.handler.calls()[0].bytes, whole);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_request_waits_for_as_long_as_the_network_takes_to_settle() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    rig.engine.gate().shut(By::Network);
    let begun = Instant::now();
    let (_client, refused) = rig.request(&id, 0);
    assert_eq!(refused.await.unwrap().unwrap_err(), PAUSED);
    assert_eq!(begun.elapsed(), 3 * SECOND, "settle, and one more");
    let request = rig.whole_request(&id, 0, &content(CHUNK));
    sleep(2 * SECOND).await;
    rig.engine.gate().open(By::Network);
    assert!(!request.await.unwrap().unwrap().duplicate);
}

/// The verdicts that no pause changes.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_request_is_said_at_once() {
    let rig = Rig::new(Kind::Memory);
    let [id, cancelled] = [rig.upload(CHUNK).await, rig.upload(CHUNK).await];
    rig.engine.cancel(&cancelled).await.unwrap();
    rig.engine.gate().shut(By::Network);
    let begun = Instant::now();
    let unknown = sample::id(99);
    assert_eq!(
        rig.send_only(&unknown).await.unwrap_err(),
        Refusal::NoSession
    );
    assert_eq!(
        rig.send_only(&cancelled).await.unwrap_err(),
        Refusal::Cancelled
    );
    let short = rig.send(&id, 0, b"abc").await.unwrap_err();
    assert_eq!(short, Refusal::ChunkLength { expected: CHUNK });
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

/// Nothing is left to wait for.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_all_here_is_kept_in_a_pause() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        let (mut client, request) = rig.request(&id, 0);
        client.send(&chunk(2 * CHUNK, 0));
        client.gave(1).await;
        rig.engine.gate().shut(By::Network);
        let _here = client.finish();
        let view = request.await.unwrap().unwrap().view;
        assert!(!rig.engine.gate().is_open());
        assert_eq!(view.state, State::Receiving, "{kind:?}");
    }
}

/// Its connection is free for others again.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_turn_is_not_waited_for() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    rig.engine.gate().shut(By::Network);
    let (client, request) = rig.request(&id, 0);
    let begun = Instant::now();
    client.break_off();
    assert_eq!(request.await.unwrap().unwrap_err(), Refusal::BodyIncomplete);
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_refused_in_a_pause_has_taken_nothing_from_others() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    let (mut client, request) = rig.request(&id, 0);
    client.send(b"xxxx");
    client.gave(1).await;
    rig.engine.gate().shut(By::Network);
    let (_newer, refused) = rig.request(&id, 0);
    assert_eq!(refused.await.unwrap().unwrap_err(), PAUSED);
    rig.engine.gate().open(By::Network);
    assert!(!request.is_finished());
    client.send(b"xxxxxx");
    drop(client);
    assert!(!request.await.unwrap().unwrap().duplicate);
}

/// Its connection died with the network that it came over.
#[tokio::test(start_paused = true)]
async fn after_a_pause_a_newer_request_takes_over_at_once() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    let (mut client, hanging) = rig.request(&id, 0);
    client.send(b"xxxx");
    client.gave(1).await;
    rig.engine.gate().shut(By::Network);
    let newer = rig.whole_request(&id, 0, &content(CHUNK));
    sleep(SECOND).await;
    let opened = Instant::now();
    rig.engine.gate().open(By::Network);
    assert!(!newer.await.unwrap().unwrap().duplicate);
    assert_eq!(hanging.await.unwrap().unwrap_err(), Refusal::Superseded);
    assert!(opened.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_has_no_pauses() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    let (mut client, request) = rig.request(&id, 0);
    client.send(&content(CHUNK)[..4]);
    client.gave(1).await;
    rig.engine.gate().shut(By::Network);
    client.send(&content(CHUNK)[4..]);
    sleep(A_WHILE).await;
    assert!(!request.is_finished());
    let engine = rig.engine.clone();
    let drained = tokio::spawn(async move { engine.drain().await });
    client.gave(2).await;
    drop(client);
    assert!(request.await.unwrap().is_ok());
    drained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_is_borne_for_the_stall_timeout() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let (mut client, request) = rig.request(&id, 0);
        client.send(b"xxxx");
        client.gave(1).await;
        let silent = Instant::now();
        assert_eq!(request.await.unwrap().unwrap_err(), Refusal::TooSlow);
        assert_eq!(silent.elapsed().as_secs(), 30, "{kind:?}");
        assert_eq!(rig.state(&id).await, State::Receiving);
        assert_eq!(rig.uploaded(&id).await, 0, "nothing of it was kept");
        assert!(!rig.send_only(&id).await.unwrap().duplicate);
    }
}

/// A byte now and then is no progress.
#[tokio::test(start_paused = true)]
async fn too_few_bytes_are_borne_for_half_a_minute() {
    for (every, is_borne) in [(2, false), (1, true)] {
        // A byte a second is enough.
        let rig = Rig::with(Kind::Memory, |config| {
            config.uploads.min_rate = 1;
            config.uploads.chunk_size = 100;
            config.uploads.max_chunk_size = 100;
            // That is for other requests.
            config.timeouts.readtimeout = 10 * SECOND;
        });
        let id = rig.upload(100).await;
        let (client, request) = rig.request(&id, 0);
        let begun = Instant::now();
        for byte in content(100) {
            client.send(&[byte]);
            sleep(every * SECOND - Duration::from_millis(10)).await;
            if request.is_finished() {
                break;
            }
        }
        drop(client);
        let appended = request.await.unwrap();
        assert_eq!(appended.is_ok(), is_borne, "{every}: {appended:?}");
        if !is_borne {
            assert_eq!(appended.unwrap_err(), Refusal::TooSlow);
            assert!((29..=33).contains(&begun.elapsed().as_secs()));
        }
    }
}

/// However its bytes are spread.
#[tokio::test(start_paused = true)]
async fn a_chunk_takes_no_longer_than_at_the_least_rate_and_half_a_minute() {
    let rig = Rig::with(Kind::Memory, |config| {
        config.uploads.min_rate = 1;
        config.uploads.chunk_size = 100;
        config.uploads.max_chunk_size = 100;
    });
    let id = rig.upload(100).await;
    let (client, request) = rig.request(&id, 0);
    let begun = Instant::now();
    // As few as are borne, as late as they are borne, and never the last ones.
    for bytes in content(90).chunks(30) {
        sleep(30 * SECOND - Duration::from_millis(10)).await;
        assert!(!request.is_finished());
        client.send(bytes);
    }
    assert_eq!(request.await.unwrap().unwrap_err(), Refusal::TooSlow);
    assert!((100..=130).contains(&begun.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn pauses_are_not_counted() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    let (mut client, request) = rig.request(&id, 0);
    client.send(&content(CHUNK)[..4]);
    client.gave(1).await;
    for _ in 0..4 {
        sleep(7 * SECOND).await;
        rig.engine.gate().shut(By::Network);
        sleep(14 * SECOND).await;
        rig.engine.gate().open(By::Network);
    }
    assert!(!request.is_finished(), "28 s of silence");
    client.send(&content(CHUNK)[4..]);
    drop(client);
    assert!(!request.await.unwrap().unwrap().duplicate);
}

/// A disk that is slow is not the client's fault.
#[tokio::test(start_paused = true)]
async fn nor_is_the_time_that_writing_takes() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    rig.faults.blob_write.shut();
    let (client, request) = rig.request(&id, 0);
    client.send(&content(CHUNK)[..4]);
    rig.faults.blob_write.holds(1).await;
    sleep(60 * SECOND).await;
    rig.faults.blob_write.open();
    sleep(20 * SECOND).await;
    client.send(&content(CHUNK)[4..]);
    drop(client);
    assert!(!request.await.unwrap().unwrap().duplicate);
}

/// Bytes that are held already are read with the same patience.
#[tokio::test(start_paused = true)]
async fn a_repeated_chunk_is_no_exception() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.nearly(2 * CHUNK).await;
    let (mut client, request) = rig.request(&id, 0);
    client.send(&content(CHUNK)[..4]);
    client.gave(1).await;
    assert_eq!(request.await.unwrap().unwrap_err(), Refusal::TooSlow);
}
