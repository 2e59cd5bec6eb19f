//! What bytes are kept, and what becomes of a request that breaks off.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Point;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use super::source::{self, whole};
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{Algorithm, Crc32c, Digest, Hasher, State};

fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

#[tokio::test]
async fn chunks_in_any_order_make_the_file() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let total = 10 * CHUNK + 3;
        let id = rig.upload(total).await;
        for (count, number) in [7, 10, 0, 3, 9, 1, 2, 8, 4, 6, 5].into_iter().enumerate() {
            assert_eq!(rig.gaps(&id).await.chunks_held, count as u64);
            let appended = rig.send(&id, number, &chunk(total, number)).await.unwrap();
            assert!(!appended.duplicate);
        }
        let view = rig.view(&id).await.unwrap();
        assert_eq!(
            (view.state, view.uploaded),
            (State::Completed, total),
            "{kind:?}"
        );
        assert_eq!(view.crc32c, Some(Crc32c::of(&content(total))));
        assert_eq!(rig.handler.calls()[0].bytes, content(total));
    }
}

#[tokio::test]
async fn a_body_of_another_length_is_not_kept() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(3 * CHUNK + 3).await;
        let cases = [
            (0, 9, CHUNK),
            (0, 11, CHUNK),
            (0, 0, CHUNK),
            (3, 4, 3),
            (3, 2, 3),
        ];
        for (number, len, expected) in cases {
            // Without a Content-Length the bytes are counted.
            let feed = whole(&vec![1; len]);
            let refusal = rig.append(&id, number, None, &[], feed).await.unwrap_err();
            assert_eq!(refusal, Refusal::ChunkLength { expected }, "{kind:?} {len}");
            assert_eq!(rig.uploaded(&id).await, 0);
        }
        for number in [4, 5, u64::MAX] {
            let refusal = rig.send(&id, number, &[1; 10]).await.unwrap_err();
            assert_eq!(refusal, Refusal::ChunkRange { total_chunks: 4 });
        }
        rig.send(&id, 3, &[1; 3]).await.unwrap();
        assert_eq!(rig.uploaded(&id).await, 3);
    }
}

/// A body without end must not be read to its end.
#[tokio::test]
async fn a_body_that_is_too_long_is_refused_at_its_first_byte_too_many() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(3 * CHUNK).await;
        let (client, request) = rig.request(&id, 1);
        client.send(&[1; 11]);
        // The client has not ended the body.
        let refusal = request.await.unwrap().unwrap_err();
        assert_eq!(
            refusal,
            Refusal::ChunkLength { expected: CHUNK },
            "{kind:?}"
        );
        drop(client);
        // Nothing of it reached the neighbour.
        rig.send(&id, 2, &chunk(30, 2)).await.unwrap();
        rig.send(&id, 1, &chunk(30, 1)).await.unwrap();
        rig.send(&id, 0, &chunk(30, 0)).await.unwrap();
        assert_eq!(rig.handler.calls()[0].bytes, content(30));
    }
}

/// A body made of a stream may panic when it is polled after its end.
#[tokio::test]
async fn nobody_asks_for_more_after_the_end() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        for duplicate in [false, true] {
            let (client, feed) = source::body();
            client.send(&chunk(2 * CHUNK, 0));
            let asked_after_end = client.end();
            let appended = rig.append(&id, 0, None, &[], feed).await.unwrap();
            assert_eq!(appended.duplicate, duplicate);
            assert!(!asked_after_end(), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        for bytes in [0, 4, 10] {
            let (client, request) = rig.request(&id, 1);
            client.send(&[9; 10][..bytes]);
            client.break_off();
            let refusal = request.await.unwrap().unwrap_err();
            assert_eq!(refusal, Refusal::BodyIncomplete, "{kind:?} {bytes}");
            assert_eq!(rig.gaps(&id).await.ranges, [(0, 1)]);
        }
        rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        let (client, request) = rig.request(&id, 1);
        client.break_off();
        assert_eq!(
            request.await.unwrap().unwrap_err(),
            Refusal::BodyIncomplete,
            "a duplicate"
        );
    }
}

#[tokio::test]
async fn a_chunk_is_checked_against_its_digests() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        let bytes = chunk(2 * CHUNK, 0);
        let good = sha256(&bytes);
        let bad = sha256(b"something else");
        let also_bad = Digest::new(Algorithm::Sha512, vec![0; 64]).unwrap();
        for digests in [vec![bad.clone()], vec![good.clone(), also_bad]] {
            let sent = rig.append(&id, 0, None, &digests, whole(&bytes)).await;
            assert_eq!(sent.unwrap_err(), Refusal::DigestMismatch, "{kind:?}");
            assert_eq!(rig.uploaded(&id).await, 0);
        }
        let digests = [good];
        assert!(
            !rig.append(&id, 0, None, &digests, whole(&bytes))
                .await
                .unwrap()
                .duplicate
        );
        assert!(
            rig.append(&id, 0, None, &digests, whole(&bytes))
                .await
                .unwrap()
                .duplicate
        );
        let again = rig.append(&id, 0, None, &[bad], whole(&bytes)).await;
        assert_eq!(
            again.unwrap_err(),
            Refusal::DigestMismatch,
            "a duplicate is checked too"
        );
    }
}

#[tokio::test]
async fn a_held_chunk_is_compared_and_never_written_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        let bytes = chunk(2 * CHUNK, 0);
        rig.send(&id, 0, &bytes).await.unwrap();
        assert!(rig.send(&id, 0, &bytes).await.unwrap().duplicate);
        let other = rig.send(&id, 0, b"xxxxxxxxxx").await.unwrap_err();
        assert_eq!(other, Refusal::ChunkConflict, "{kind:?}");
        let longer = rig
            .append(&id, 0, None, &[], whole(&[1; 11]))
            .await
            .unwrap_err();
        assert_eq!(longer, Refusal::ChunkLength { expected: CHUNK });
        assert_eq!(rig.uploaded(&id).await, CHUNK);
        rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        assert_eq!(rig.handler.calls()[0].bytes, content(2 * CHUNK));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_early_frees_its_chunk() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        let (mut client, request) = rig.request(&id, 0);
        client.send(b"xxxx");
        client.gave(1).await;
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        let active = rig.engine.active(id.key()).await.unwrap();
        let begun = tokio::time::Instant::now();
        rig.send_only(&id).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO, "it waited for nobody");
        assert!(active.lock().claims.is_empty(), "{kind:?}");
        assert_eq!(rig.handler.calls()[0].bytes, content(CHUNK));
    }
}

/// The runtime drops the request when its client leaves; its last byte was here.
#[tokio::test]
async fn a_client_that_leaves_after_its_last_byte_has_sent_its_chunk() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        for number in [0, 1] {
            rig.faults.log_append.shut();
            let request = rig.whole_request(&id, number, &chunk(2 * CHUNK, number));
            rig.faults.log_append.holds(1).await;
            request.abort();
            assert!(request.await.unwrap_err().is_cancelled());
            assert_eq!(rig.uploaded(&id).await, number * CHUNK, "{kind:?}");
            rig.faults.log_append.open();
            let again = rig
                .send(&id, number, &chunk(2 * CHUNK, number))
                .await
                .unwrap();
            assert!(again.duplicate, "{kind:?}");
        }
        assert_eq!(rig.handler.calls().len(), 1);
        assert_eq!(rig.state(&id).await, State::Completed);
    }
}

/// The one that left had sent the last chunk of all.
#[tokio::test]
async fn an_upload_whose_client_left_after_its_last_byte_is_handed_over() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.faults.log_append.shut();
        let request = rig.whole_request(&id, 0, &content(CHUNK));
        rig.faults.log_append.holds(1).await;
        request.abort();
        rig.faults.log_append.open();
        rig.handler.called(1).await;
        rig.settled(&id).await;
        assert_eq!(rig.state(&id).await, State::Completed, "{kind:?}");
    }
}

#[tokio::test]
async fn a_write_that_fails_fails_its_chunk_alone() {
    let cases = [
        (ErrorKind::StorageFull, Refusal::NoSpace),
        (ErrorKind::QuotaExceeded, Refusal::NoSpace),
        (ErrorKind::OutOfMemory, Refusal::Internal),
    ];
    for kind in KINDS {
        for (error, expected) in cases.clone() {
            let rig = Rig::new(kind);
            let id = rig.upload(2 * CHUNK).await;
            rig.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap();
            rig.faults.fail(Point::BlobWrite, error);
            let refusal = rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap_err();
            assert_eq!(refusal, expected, "{kind:?}");
            assert_eq!(rig.gaps(&id).await.ranges, [(1, 1)]);
        }
    }
}

#[tokio::test]
async fn a_full_log_fails_the_chunk_and_takes_it_later() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.faults.fail(Point::LogAppend, ErrorKind::StorageFull);
        assert_eq!(
            rig.send_only(&id).await.unwrap_err(),
            Refusal::NoSpace,
            "{kind:?}"
        );
        assert_eq!(rig.uploaded(&id).await, 0);
        assert!(!rig.send_only(&id).await.unwrap().duplicate);
        assert_eq!(rig.handler.calls().len(), 1);
    }
}

/// What such a log holds is not known: it is read anew before anything is added.
#[tokio::test]
async fn a_log_that_failed_is_opened_anew() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        rig.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap();
        rig.faults.fail(Point::LogAppend, ErrorKind::OutOfMemory);
        let refusal = rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap_err();
        assert_eq!(refusal, Refusal::Internal, "{kind:?}");
        assert_eq!(
            rig.uploaded(&id).await,
            CHUNK,
            "status answers from the log"
        );
        // The first request afterwards may find it broken still.
        let _ = rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await;
        rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
        assert_eq!(rig.state(&id).await, State::Completed);
        assert_eq!(rig.handler.calls()[0].bytes, content(2 * CHUNK));
    }
}

#[tokio::test]
async fn an_unknown_upload_takes_nothing_and_leaves_nothing() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let (client, feed) = source::body();
        let id = sample::id(200);
        let refusal = rig.append(&id, 0, None, &[], feed).await.unwrap_err();
        assert_eq!(refusal, Refusal::NoSession, "{kind:?}");
        assert!(!client.is_read(), "the verdict comes before the body");
        assert_eq!(rig.view(&id).await.unwrap_err(), Refusal::NoSession);
        assert!(rig.engine.table.peek(id.key()).is_none());
        assert_eq!(std::fs::read_dir(rig.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_damaged_log_is_lost_state() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.upload(3 * CHUNK).await;
    for number in [0, 1] {
        rig.send(&id, number, &chunk(3 * CHUNK, number))
            .await
            .unwrap();
    }
    let log = rig.path().join(format!("{}.log", id.key()));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let next = rig.again(|_| {});
    assert_eq!(next.view(&id).await.unwrap_err(), Refusal::StateLost);
    let sent = next.send(&id, 2, &chunk(3 * CHUNK, 2)).await;
    assert_eq!(sent.unwrap_err(), Refusal::StateLost);
    assert_eq!(
        next.engine.cancel(&id).await.unwrap_err(),
        Refusal::StateLost
    );
}

/// What such an error took with it nobody can tell, whatever a later flush or read says.
#[tokio::test]
async fn after_an_error_of_the_disk_nothing_more_is_promised() {
    use Point::{BlobFlush, BlobWrite, LogAppend, LogFlush};
    for kind in KINDS {
        for point in [BlobWrite, LogAppend, LogFlush, BlobFlush] {
            let rig = Rig::new(kind);
            let (id, other) = (rig.upload(2 * CHUNK).await, rig.upload(CHUNK).await);
            rig.send(&id, 0, &chunk(2 * CHUNK, 0)).await.unwrap();
            rig.faults.fail(point, ErrorKind::Other);
            let refusal = rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap_err();
            assert_eq!(refusal, Refusal::Unavailable, "{kind:?} {point:?}");
            assert!(rig.engine.has_failed());
            assert_eq!(
                rig.send_only(&other).await.unwrap_err(),
                Refusal::Unavailable
            );
            assert_eq!(rig.view(&id).await.unwrap_err(), Refusal::Unavailable);
            let create = rig.create(sample::declaration(1), "").await;
            assert_eq!(create.unwrap_err(), Refusal::Unavailable);
            assert!(rig.handler.calls().is_empty());
            // The next process reads what there is: acknowledged bytes, and nothing doubtful twice.
            let again = rig.again(|_| {});
            assert!(again.uploaded(&id).await >= CHUNK, "{kind:?} {point:?}");
            again.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap();
            assert_eq!(again.handler.calls()[0].bytes, content(2 * CHUNK));
        }
    }
}

/// Chunks that end while an earlier one is flushed share the next flush.
#[tokio::test]
async fn chunks_that_end_together_share_a_flush() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.upload(20 * CHUNK).await;
    rig.faults.log_flush.shut();
    let first = rig.whole_request(&id, 0, &chunk(20 * CHUNK, 0));
    rig.faults.log_flush.holds(1).await;
    let rest: Vec<_> = (1..19)
        .map(|number| rig.whole_request(&id, number, &chunk(20 * CHUNK, number)))
        .collect();
    let active = rig.engine.table.peek(id.key()).unwrap();
    while active.commits.len() < 18 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        active.lock().record.ranges.len(),
        0,
        "nothing is told before its flush"
    );
    rig.faults.log_flush.open();
    for request in std::iter::once(first).chain(rest) {
        assert!(!request.await.unwrap().unwrap().duplicate);
    }
    assert_eq!(rig.faults.count(Point::LogFlush), 2);
    assert_eq!(rig.faults.count(Point::BlobFlush), 2);
}

/// An entry that is begun is folded in as well, whoever is there to see it.
#[tokio::test]
async fn a_chunk_size_is_adopted_even_when_its_client_leaves_meanwhile() {
    for kind in KINDS {
        let rig = Arc::new(Rig::new(kind));
        let id = rig.upload(2 * CHUNK).await;
        rig.faults.log_append.shut();
        let request = {
            let (rig, id) = (Arc::clone(&rig), id.clone());
            let bytes = content(2 * CHUNK)[..5].to_vec();
            tokio::spawn(async move { rig.send(&id, 0, &bytes).await.map(|_| ()) })
        };
        rig.faults.log_append.holds(1).await;
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        rig.faults.log_append.open();
        let active = rig.engine.active(id.key()).await.unwrap();
        let adopted = |inner: &crate::engine::active::Inner| inner.record.chunk_size == 5;
        crate::engine::claim::wait_until(&active, adopted).await;
        // Log and record agree: the next entry fits behind it.
        rig.send(&id, 3, &content(2 * CHUNK)[15..]).await.unwrap();
        let record = rig.store().read(id.key()).await.unwrap().unwrap();
        assert_eq!(
            (record.chunk_size, record.ranges.bytes()),
            (5, 5),
            "{kind:?}"
        );
    }
}

/// Then the disk was not even asked, and it has failed nobody.
#[tokio::test]
async fn a_lack_of_descriptors_is_no_error_of_the_disk() {
    for code in [libc::EMFILE, libc::ENFILE] {
        let rig = Rig::new(Kind::Disk);
        let id = rig.upload(CHUNK).await;
        rig.faults.fail_os(Point::LogFlush, code);
        assert_eq!(rig.send_only(&id).await.unwrap_err(), Refusal::Internal);
        assert!(!rig.engine.has_failed());
        rig.send_only(&id).await.unwrap();
        assert_eq!(rig.state(&id).await, State::Completed);
    }
}

/// Bytes of one upload may go in the same flush as those of another that failed.
#[tokio::test]
async fn what_is_flushed_while_the_disk_fails_is_not_acknowledged() {
    let rig = Arc::new(Rig::new(Kind::Disk));
    let (id, other) = (rig.upload(2 * CHUNK).await, rig.upload(2 * CHUNK).await);
    rig.faults.log_flush.shut();
    let held = rig.whole_request(&id, 0, &chunk(2 * CHUNK, 0));
    rig.faults.log_flush.holds(1).await;
    rig.faults.fail(Point::BlobWrite, ErrorKind::Other);
    let failed = rig.send(&other, 0, &chunk(2 * CHUNK, 0)).await;
    assert_eq!(failed.unwrap_err(), Refusal::Unavailable);
    rig.faults.log_flush.open();
    assert_eq!(held.await.unwrap().unwrap_err(), Refusal::Unavailable);
}
