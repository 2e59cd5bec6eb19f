//! Chunks wait for a worker, and requests for room among them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::faults::Point;
use super::rig::{CHUNK, KINDS, Kind, Request, Rig, chunk, content};
use crate::engine::{Refusal, claim};
use crate::network::By;
use crate::upload::{Durability, SessionId, State, Target};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than anything takes that is not waiting; no time at all on the paused clock.
const A_WHILE: Duration = Duration::from_secs(1);
/// Bytes of uploads with many chunks.
const TOTAL: u64 = 40 * CHUNK;

/// A rig whose queue has room for so many chunks.
fn rig(kind: Kind, size: usize) -> Rig {
    Rig::with(kind, |config| config.workers.uploadqueuesize = size)
}

impl Rig {
    /// A chunk of an upload of [`TOTAL`] bytes, in a task of its own.
    fn sends(&self, id: &SessionId, number: u64) -> Request {
        self.whole_request(id, number, &chunk(TOTAL, number))
    }

    /// Fills the queue: workers take nothing from now on, and `count` uploads have a chunk to be
    /// taken.
    async fn fill(&self, count: usize) -> Vec<Request> {
        self.faults.blob_queue.shut();
        let mut requests = Vec::new();
        for _ in 0..count {
            let id = self.upload(TOTAL).await;
            requests.push(self.sends(&id, 0));
        }
        self.until_queued(count).await;
        requests
    }

    async fn until_queued(&self, count: usize) {
        until(|| self.engine.figures().queue, count).await;
    }

    async fn until_asking(&self, count: usize) {
        until(|| self.engine.figures().asking, count).await;
    }

    /// Waits until so many chunks of an upload wait for one of its own that a worker is to take.
    async fn until_behind(&self, id: &SessionId, count: usize) {
        let active = self.engine.table.peek(id.key()).unwrap();
        until(|| active.commits.len(), count).await;
    }
}

/// By the clock on the wall: the other one would go on.
async fn until(figure: impl Fn() -> usize, is: usize) {
    let begun = std::time::Instant::now();
    while figure() != is {
        assert!(begun.elapsed() < 20 * SECOND, "{} is not {is}", figure());
        tokio::task::yield_now().await;
    }
}

async fn all_taken(requests: Vec<Request>) {
    for request in requests {
        assert!(!request.await.unwrap().unwrap().duplicate);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_the_queue_full_is_refused_unread_after_two_seconds() {
    for kind in KINDS {
        let rig = rig(kind, 3);
        let filling = rig.fill(3).await;
        let id = rig.upload(TOTAL).await;
        let begun = Instant::now();
        let (client, request) = rig.request(&id, 0);
        client.send(&chunk(TOTAL, 0));
        assert_eq!(request.await.unwrap().unwrap_err(), Refusal::Crowded);
        assert_eq!(begun.elapsed(), 2 * SECOND, "{kind:?}");
        assert!(!client.is_read());
        let figures = rig.engine.figures();
        assert_eq!((figures.queue, figures.asking), (3, 0));
        assert_eq!((figures.waits, figures.refused), (1, 1));
        // The disk goes on: so does everybody.
        rig.faults.blob_queue.open();
        all_taken(filling).await;
        assert!(!rig.sends(&id, 0).await.unwrap().unwrap().duplicate);
        assert_eq!(rig.engine.figures().queue, 0, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_comes_in_when_there_is_room() {
    for kind in KINDS {
        let rig = rig(kind, 2);
        let filling = rig.fill(2).await;
        let id = rig.upload(CHUNK).await;
        let (client, request) = rig.request(&id, 0);
        client.send(&content(CHUNK));
        sleep(A_WHILE).await;
        assert!(!client.is_read());
        rig.faults.blob_queue.open();
        drop(client);
        let view = request.await.unwrap().unwrap().view;
        assert_eq!(view.state, State::Completed, "{kind:?}");
        all_taken(filling).await;
    }
}

/// Only what a request is to write has to wait.
#[tokio::test(start_paused = true)]
async fn what_needs_no_worker_does_not_wait_for_one() {
    let rig = rig(Kind::Disk, 2);
    let held = rig.upload(TOTAL).await;
    rig.sends(&held, 1).await.unwrap().unwrap();
    let done = rig.upload(CHUNK).await;
    rig.send_only(&done).await.unwrap();
    let cancelled = rig.upload(TOTAL).await;
    rig.sends(&cancelled, 0).await.unwrap().unwrap();
    let filling = rig.fill(2).await;
    let begun = Instant::now();
    assert!(rig.sends(&held, 1).await.unwrap().unwrap().duplicate);
    assert!(rig.send_only(&done).await.unwrap().duplicate);
    assert_eq!(rig.uploaded(&held).await, CHUNK);
    let refusal = rig.send(&held, 2, b"short").await.unwrap_err();
    assert_eq!(refusal, Refusal::ChunkLength { expected: CHUNK });
    rig.engine.cancel(&cancelled).await.unwrap();
    let refusal = rig.sends(&cancelled, 1).await.unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::Cancelled);
    let refusal = rig.send(&held, TOTAL, &[]).await.unwrap_err();
    assert!(matches!(refusal, Refusal::ChunkRange { .. }), "{refusal:?}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(rig.engine.figures().waits, 0);
    rig.faults.blob_queue.open();
    all_taken(filling).await;
}

/// What is received while there is room, or was before, is not turned away.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_coming_is_not_counted_and_may_end_when_the_queue_is_full() {
    let rig = rig(Kind::Memory, 2);
    let mut slow = Vec::new();
    for _ in 0..4 {
        let id = rig.upload(TOTAL).await;
        let (mut client, request) = rig.request(&id, 0);
        client.send(&chunk(TOTAL, 0)[..4]);
        client.gave(1).await;
        slow.push((client, request));
    }
    assert_eq!(rig.engine.figures().queue, 0, "they hold nothing");
    let mut filling = rig.fill(2).await;
    for (client, request) in slow {
        client.send(&chunk(TOTAL, 0)[4..]);
        drop(client);
        filling.push(request);
    }
    rig.until_queued(6).await;
    rig.faults.blob_queue.open();
    all_taken(filling).await;
}

/// Those that end while an earlier one waits for a worker, or is at work, are taken together.
#[tokio::test(start_paused = true)]
async fn chunks_of_one_upload_take_one_place() {
    for kind in KINDS {
        let rig = rig(kind, 2);
        let (many, one) = (rig.upload(TOTAL).await, rig.upload(CHUNK).await);
        rig.faults.blob_queue.shut();
        let mut requests = vec![rig.sends(&many, 0)];
        rig.until_queued(1).await;
        requests.extend((1..40).map(|number| rig.sends(&many, number)));
        rig.until_behind(&many, 39).await;
        assert_eq!(rig.engine.figures().queue, 1, "{kind:?}");
        let other = rig.whole_request(&one, 0, &content(CHUNK));
        rig.until_queued(2).await;
        assert_eq!(rig.engine.figures().waits, 0, "{kind:?}");
        rig.faults.blob_queue.open();
        let view = other.await.unwrap().unwrap().view;
        assert_eq!(view.state, State::Completed, "{kind:?}");
        all_taken(requests).await;
        assert_eq!(rig.engine.figures().queue, 0, "{kind:?}");
    }
}

/// The queue is full, and many chunks of one upload wait for room.
#[tokio::test(start_paused = true)]
async fn an_upload_with_many_requests_does_not_keep_another_out() {
    for kind in KINDS {
        let rig = rig(kind, 1);
        let (many, one) = (rig.upload(TOTAL).await, rig.upload(CHUNK).await);
        rig.faults.blob_queue.shut();
        let mut requests = vec![rig.sends(&many, 0)];
        rig.until_queued(1).await;
        requests.extend((1..40).map(|number| rig.sends(&many, number)));
        rig.until_asking(39).await;
        let other = rig.whole_request(&one, 0, &content(CHUNK));
        rig.until_asking(40).await;
        rig.faults.log_flush.shut();
        rig.faults.blob_queue.open();
        // Flushing takes its time, one chunk of each upload at first.
        rig.faults.log_flush.holds(2).await;
        assert_eq!(rig.engine.figures().asking, 0, "{kind:?}");
        rig.faults.log_flush.open();
        let view = other.await.unwrap().unwrap().view;
        assert_eq!(view.state, State::Completed, "{kind:?}");
        all_taken(requests).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_requests_that_wait_for_the_same_chunk_the_newest_wins() {
    for kind in KINDS {
        let rig = rig(kind, 2);
        let filling = rig.fill(2).await;
        let id = rig.upload(CHUNK).await;
        let (older, superseded) = rig.request(&id, 0);
        older.send(b"xxxx");
        rig.until_asking(1).await;
        let newer = rig.whole_request(&id, 0, &content(CHUNK));
        rig.until_asking(2).await;
        rig.faults.blob_queue.open();
        assert!(!newer.await.unwrap().unwrap().duplicate);
        let refusal = superseded.await.unwrap().unwrap_err();
        assert_eq!(refusal, Refusal::Superseded, "{kind:?}");
        assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK));
        all_taken(filling).await;
    }
}

/// All who wait are let in at once, and any of them may be the first to run.
#[tokio::test(start_paused = true)]
async fn a_request_that_came_earlier_and_is_let_in_later_takes_nothing_from_a_newer_one() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(2 * CHUNK).await;
    let active = rig.engine.table.peek(id.key()).unwrap();
    let older = active.lock().claims.arrive();
    let bytes = chunk(2 * CHUNK, 1);
    let (mut client, newer) = rig.request(&id, 1);
    client.send(&bytes[..4]);
    client.gave(1).await;
    let target = Target::Chunk {
        number: 1,
        length: None,
    };
    let admitted = claim::admit(&active, older, target).await;
    assert_eq!(admitted.err(), Some(Refusal::Superseded));
    client.send(&bytes[4..]);
    drop(client);
    assert!(!newer.await.unwrap().unwrap().duplicate);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_refused_has_taken_nothing_from_others() {
    let rig = rig(Kind::Disk, 2);
    let id = rig.upload(CHUNK).await;
    let (mut client, older) = rig.request(&id, 0);
    client.send(&content(CHUNK)[..4]);
    client.gave(1).await;
    let filling = rig.fill(2).await;
    assert_eq!(rig.send_only(&id).await.unwrap_err(), Refusal::Crowded);
    client.send(&content(CHUNK)[4..]);
    drop(client);
    rig.until_queued(3).await;
    rig.faults.blob_queue.open();
    assert!(!older.await.unwrap().unwrap().duplicate);
    all_taken(filling).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_its_request_waits_leaves_nothing_behind() {
    let rig = rig(Kind::Disk, 2);
    let filling = rig.fill(2).await;
    let id = rig.upload(CHUNK).await;
    let (_client, request) = rig.request(&id, 0);
    rig.until_asking(1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    assert_eq!(rig.engine.figures().asking, 0);
    assert_eq!(rig.engine.receiving(), 2, "only those that fill the queue");
    rig.faults.blob_queue.open();
    all_taken(filling).await;
    assert!(!rig.send_only(&id).await.unwrap().duplicate);
}

/// The network is waited for first; while room is waited for, it may change again.
#[tokio::test(start_paused = true)]
async fn a_pause_while_a_request_waits_for_room_holds_up_only_its_body() {
    let rig = rig(Kind::Disk, 2);
    let filling = rig.fill(2).await;
    let id = rig.upload(CHUNK).await;
    let (client, request) = rig.request(&id, 0);
    client.send(&content(CHUNK));
    rig.until_asking(1).await;
    rig.engine.gate().shut(By::Network);
    rig.faults.blob_queue.open();
    all_taken(filling).await;
    sleep(A_WHILE).await;
    assert_eq!(rig.engine.figures().asking, 0);
    assert!(!client.is_read() && !request.is_finished());
    rig.engine.gate().open(By::Network);
    drop(client);
    assert!(!request.await.unwrap().unwrap().duplicate);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_when_the_server_ends_is_told_so_at_once() {
    let rig = Arc::new(rig(Kind::Disk, 2));
    let filling = rig.fill(2).await;
    let id = rig.upload(CHUNK).await;
    let (client, request) = rig.request(&id, 0);
    rig.until_asking(1).await;
    let begun = Instant::now();
    let draining = Arc::clone(&rig);
    let drained = tokio::spawn(async move { draining.engine.drain().await });
    assert_eq!(request.await.unwrap().unwrap_err(), Refusal::Draining);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(!client.is_read());
    rig.faults.blob_queue.open();
    drained.await.unwrap();
    all_taken(filling).await;
}

/// Whatever becomes of a chunk, its place is free again.
#[tokio::test(start_paused = true)]
async fn places_are_given_back_when_chunks_fail() {
    for kind in KINDS {
        for point in [Point::LogAppend, Point::BlobFlush, Point::LogFlush] {
            let rig = rig(kind, 9);
            let id = rig.upload(TOTAL).await;
            rig.faults.blob_queue.shut();
            let first = rig.sends(&id, 0);
            rig.faults.blob_queue.holds(1).await;
            let more: Vec<_> = (1..4).map(|number| rig.sends(&id, number)).collect();
            rig.until_behind(&id, 3).await;
            rig.faults.fail(point, std::io::ErrorKind::StorageFull);
            rig.faults.blob_queue.open();
            let mut refused = 0;
            for request in more.into_iter().chain([first]) {
                refused += u32::from(request.await.unwrap().is_err());
            }
            assert!(refused > 0, "{kind:?} {point:?}");
            assert_eq!(rig.engine.figures().queue, 0, "{kind:?} {point:?}");
        }
    }
}

/// Where nothing is flushed, nothing waits for a worker.
#[tokio::test(start_paused = true)]
async fn without_flushes_no_queue_builds() {
    let rig = Rig::with(Kind::Disk, |config| {
        config.workers.uploadqueuesize = 1;
        config.uploads.durability = Durability::Process;
    });
    let id = rig.upload(TOTAL).await;
    rig.faults.blob_queue.shut();
    for number in 0..10 {
        assert!(!rig.sends(&id, number).await.unwrap().unwrap().duplicate);
    }
    let figures = rig.engine.figures();
    assert_eq!((figures.queue, figures.waits), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_grows_gets_more_workers_and_they_go_when_it_is_short() {
    let rig = Rig::with(Kind::Disk, |config| {
        config.workers.numworkers = 2;
        config.workers.max_workers = 3;
        config.server.worker_scale_up_thresh = 4;
        config.server.worker_scale_down_thresh = 1;
    });
    assert_eq!(rig.engine.figures().workers, 2);
    let filling = rig.fill(4).await;
    assert_eq!(rig.engine.figures().workers, 3);
    rig.faults.blob_queue.open();
    all_taken(filling).await;
    sleep(9 * SECOND).await;
    rig.engine.adjust_workers();
    assert_eq!(rig.engine.figures().workers, 3);
    sleep(2 * SECOND).await;
    rig.engine.adjust_workers();
    assert_eq!(rig.engine.figures().workers, 2);
}
