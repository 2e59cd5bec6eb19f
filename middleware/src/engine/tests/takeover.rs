//! The newest request for a range wins.

use std::sync::Arc;
use std::time::Duration;

use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{Crc32c, State};

/// Longer than anything takes that is not waiting; no time at all on the paused clock.
const A_WHILE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_newer_request_supersedes_a_stalled_one() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let (mut older, stalled) = rig.request(&id, 0);
        older.send(b"xxxx");
        older.gave(1).await;
        let appended = rig.send_only(&id).await.unwrap();
        assert!(!appended.duplicate);
        assert_eq!(
            stalled.await.unwrap().unwrap_err(),
            Refusal::Superseded,
            "{kind:?}"
        );
        assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK));
        assert_eq!(rig.handler.calls().len(), 1);
    }
}

/// Otherwise the older one could write over bytes that are acknowledged.
#[tokio::test(start_paused = true)]
async fn the_older_request_has_stopped_before_the_newer_one_reads() {
    for kind in KINDS {
        for client_leaves in [false, true] {
            let rig = Rig::new(kind);
            let id = rig.upload(CHUNK).await;
            rig.faults.blob_write.shut();
            let (older, writing) = rig.request(&id, 0);
            older.send(b"xxxxxxxxxx");
            rig.faults.blob_write.holds(1).await;
            if client_leaves {
                writing.abort();
            }
            let (newer, request) = rig.request(&id, 0);
            newer.send(&content(CHUNK));
            tokio::time::sleep(A_WHILE).await;
            assert!(
                !newer.is_read(),
                "{kind:?}: it reads while the older one writes"
            );
            assert!(!request.is_finished());
            rig.faults.blob_write.open();
            drop(newer);
            assert!(!request.await.unwrap().unwrap().duplicate);
            assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK), "{kind:?}");
            if !client_leaves {
                assert_eq!(writing.await.unwrap().unwrap_err(), Refusal::Superseded);
            }
        }
    }
}

#[tokio::test]
async fn of_three_requests_the_newest_wins() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let mut superseded = Vec::new();
        for text in [b"xxxx", b"yyyy"] {
            let (mut client, request) = rig.request(&id, 0);
            client.send(text);
            client.gave(1).await;
            superseded.push((client, request));
        }
        assert!(!rig.send_only(&id).await.unwrap().duplicate);
        for (_client, request) in superseded {
            assert_eq!(
                request.await.unwrap().unwrap_err(),
                Refusal::Superseded,
                "{kind:?}"
            );
        }
        assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK));
    }
}

/// The first is stuck in a write; the second waits for it and learns at once that a third came.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_superseded_too() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.faults.blob_write.shut();
        let (first, writing) = rig.request(&id, 0);
        first.send(b"xxxx");
        rig.faults.blob_write.holds(1).await;
        let (second, waiting) = rig.request(&id, 0);
        second.send(b"yyyy");
        tokio::time::sleep(A_WHILE).await;
        let (third, request) = rig.request(&id, 0);
        third.send(&content(CHUNK));
        assert_eq!(
            waiting.await.unwrap().unwrap_err(),
            Refusal::Superseded,
            "{kind:?}"
        );
        assert!(!second.is_read());
        assert!(!third.is_read());
        rig.faults.blob_write.open();
        drop(third);
        assert!(!request.await.unwrap().unwrap().duplicate);
        assert_eq!(writing.await.unwrap().unwrap_err(), Refusal::Superseded);
        assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn once_its_last_byte_is_here_a_request_cannot_be_superseded() {
    for kind in KINDS {
        for same in [true, false] {
            let rig = Rig::new(kind);
            let id = rig.upload(2 * CHUNK).await;
            let bytes = chunk(2 * CHUNK, 0);
            rig.faults.log_append.shut();
            let older = rig.whole_request(&id, 0, &bytes);
            rig.faults.log_append.holds(1).await;
            let other = if same { &bytes[..] } else { b"yyyyyyyyyy" };
            let newer = rig.whole_request(&id, 0, other);
            tokio::time::sleep(A_WHILE).await;
            assert!(!newer.is_finished() && !older.is_finished(), "{kind:?}");
            rig.faults.log_append.open();
            assert!(!older.await.unwrap().unwrap().duplicate);
            match newer.await.unwrap() {
                Ok(appended) => assert!(same && appended.duplicate),
                Err(refusal) => assert!(!same && refusal == Refusal::ChunkConflict, "{refusal:?}"),
            }
            rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
            assert_eq!(rig.handler.calls()[0].bytes, content(2 * CHUNK), "{kind:?}");
        }
    }
}

/// The older one fails after its last byte: the newer one writes after all.
#[tokio::test(start_paused = true)]
async fn when_the_older_request_fails_to_commit_the_newer_one_writes() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.faults.log_append.shut();
        rig.faults.fail(
            super::faults::Point::LogAppend,
            std::io::ErrorKind::StorageFull,
        );
        let older = rig.whole_request(&id, 0, b"xxxxxxxxxx");
        rig.faults.log_append.holds(1).await;
        let newer = rig.whole_request(&id, 0, &content(CHUNK));
        tokio::time::sleep(A_WHILE).await;
        rig.faults.log_append.open();
        assert_eq!(older.await.unwrap().unwrap_err(), Refusal::NoSpace);
        assert!(!newer.await.unwrap().unwrap().duplicate);
        assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_older_request_has_a_bound() {
    let rig = Rig::new(Kind::Memory);
    let id = rig.upload(CHUNK).await;
    rig.faults.blob_write.shut();
    let (older, _writing) = rig.request(&id, 0);
    older.send(b"xxxx");
    rig.faults.blob_write.holds(1).await;
    let begun = tokio::time::Instant::now();
    let refusal = rig.send_only(&id).await.unwrap_err();
    assert_eq!(refusal, Refusal::Busy);
    assert_eq!(begun.elapsed().as_secs(), 30);
    rig.faults.blob_write.open();
}

#[tokio::test]
async fn requests_for_other_chunks_are_left_alone() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(3 * CHUNK).await;
        let first = chunk(3 * CHUNK, 0);
        let (mut slow, request) = rig.request(&id, 0);
        slow.send(&first[..4]);
        slow.gave(1).await;
        for number in [2, 1] {
            rig.send(&id, number, &chunk(3 * CHUNK, number))
                .await
                .unwrap();
        }
        assert!(!request.is_finished());
        slow.send(&first[4..]);
        drop(slow);
        assert_eq!(request.await.unwrap().unwrap().view.state, State::Completed);
        assert_eq!(rig.handler.calls()[0].bytes, content(3 * CHUNK), "{kind:?}");
    }
}

/// Whoever wins, what the record says of the bytes is what the bytes are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_checksum_on_record_is_that_of_the_bytes_kept() {
    for (kind, round) in (0..60).map(|round| (KINDS[round % 3], round)) {
        let rig = Arc::new(Rig::new(kind));
        let id = rig.upload(2 * CHUNK).await;
        let mut requests = tokio::task::JoinSet::new();
        for letter in b'a'..b'e' {
            let (rig, id) = (Arc::clone(&rig), id.clone());
            requests.spawn(async move {
                let bytes = [letter; CHUNK as usize];
                (letter, rig.send(&id, 0, &bytes).await)
            });
        }
        let mut written = Vec::new();
        for (letter, outcome) in requests.join_all().await {
            match outcome {
                Ok(appended) if !appended.duplicate => written.push(letter),
                Ok(_) => panic!("no two sent the same bytes"),
                Err(Refusal::Superseded | Refusal::ChunkConflict) => {}
                Err(refusal) => panic!("{kind:?} {round}: {refusal:?}"),
            }
        }
        let [letter] = written[..] else {
            panic!("{kind:?} {round}: {written:?}")
        };
        rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        let bytes = rig.handler.calls()[0].bytes.clone();
        assert_eq!(bytes[..10], [letter; 10], "{kind:?} {round}");
        assert_eq!(
            rig.view(&id).await.unwrap().crc32c,
            Some(Crc32c::of(&bytes))
        );
    }
}

#[tokio::test]
async fn chunk_0_does_not_choose_a_chunk_size_while_another_chunk_is_on_its_way() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(5 * CHUNK).await;
        let (mut client, request) = rig.request(&id, 1);
        client.send(b"xx");
        client.gave(1).await;
        let refusal = rig.send(&id, 0, b"1234567").await.unwrap_err();
        assert_eq!(refusal, Refusal::ChunkLength { expected: CHUNK });
        drop(client);
        let short = Refusal::ChunkLength { expected: CHUNK };
        assert_eq!(request.await.unwrap().unwrap_err(), short, "{kind:?}");
        assert_eq!(
            rig.send(&id, 0, b"1234567").await.unwrap().view.chunk_size,
            7
        );
    }
}

/// Where another chunk lies is not decided while the size of all is.
#[tokio::test(start_paused = true)]
async fn no_chunk_comes_in_while_a_chunk_size_is_put_on_record() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(5 * CHUNK).await;
        rig.faults.log_append.shut();
        let rig = Arc::new(rig);
        let send = |number: u64, bytes: &'static [u8]| {
            let (rig, id) = (Arc::clone(&rig), id.clone());
            tokio::spawn(async move { rig.send(&id, number, bytes).await })
        };
        let first = send(0, b"1234567");
        rig.faults.log_append.holds(1).await;
        let second = send(1, b"1234567890");
        tokio::time::sleep(A_WHILE).await;
        rig.faults.log_append.open();
        assert_eq!(first.await.unwrap().unwrap().view.chunk_size, 7, "{kind:?}");
        let refusal = second.await.unwrap().unwrap_err();
        assert_eq!(refusal, Refusal::ChunkLength { expected: 7 }, "{kind:?}");
        assert_eq!(rig.uploaded(&id).await, 7);
    }
}

/// Of two first chunks of different sizes one agrees on its size, and the other is told which.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_first_chunks_agree_on_one_size() {
    for (kind, round) in (0..60).map(|round| (KINDS[round % 3], round)) {
        let rig = Arc::new(Rig::new(kind));
        let id = rig.upload(5 * CHUNK).await;
        let request = |len: usize| {
            let (rig, id) = (Arc::clone(&rig), id.clone());
            tokio::spawn(async move { rig.send(&id, 0, &vec![1; len]).await })
        };
        let (seven, eight) = (request(7), request(8));
        let (seven, eight) = (seven.await.unwrap(), eight.await.unwrap());
        let view = rig.view(&id).await.unwrap();
        let (winner, loser) = match view.chunk_size {
            7 => (seven, eight),
            8 => (eight, seven),
            other => panic!("{kind:?} {round}: {other}"),
        };
        assert!(!winner.unwrap().duplicate);
        let expected = view.chunk_size;
        assert_eq!(
            loser.unwrap_err(),
            Refusal::ChunkLength { expected },
            "{kind:?} {round}"
        );
        assert_eq!(view.uploaded, expected);
    }
}

#[tokio::test]
async fn an_agreed_size_is_for_good() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.upload(5 * CHUNK).await;
    // A body too short for its own length changes the size, and nothing else.
    let (short, feed) = super::source::body();
    short.send(b"123");
    drop(short);
    let refusal = rig.append(&id, 0, Some(7), &[], feed).await.unwrap_err();
    assert_eq!(refusal, Refusal::ChunkLength { expected: 7 });
    assert_eq!(rig.uploaded(&id).await, 0);
    for len in [8, 10] {
        let refusal = rig.send(&id, 0, &vec![1; len]).await.unwrap_err();
        assert_eq!(refusal, Refusal::ChunkLength { expected: 7 });
    }
    let view = rig.again(|_| {}).view(&id).await.unwrap();
    assert_eq!(view.chunk_size, 7, "it is on record");
    let mut declaration = sample::declaration(5 * CHUNK);
    declaration.chunk_size = Some(10);
    let id = rig.create(declaration, "").await.unwrap().id;
    let refusal = rig.send(&id, 0, b"1234567").await.unwrap_err();
    assert_eq!(refusal, Refusal::ChunkLength { expected: 10 });
}
