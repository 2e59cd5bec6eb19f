//! Bytes that are not what they were when they were received.

use std::fs;
use std::io::ErrorKind;
use std::time::SystemTime;

use super::faults::Point;
use super::handler::Step;
use super::rig::{CHUNK, KINDS, Rig, chunk, content};
use crate::config::{Mode, OnUnknown};
use crate::upload::tests::sample;
use crate::upload::{Algorithm, Entry, Failure, Hasher, SessionId, State, Timestamp};

const TOTAL: u64 = 3 * CHUNK;

fn rot(rig: &Rig, id: &SessionId, offsets: &[usize]) {
    let mut bytes = fs::read(rig.data_file(id)).unwrap();
    for &offset in offsets {
        bytes[offset] ^= 1;
    }
    fs::write(rig.data_file(id), bytes).unwrap();
}

/// Sends what is missing again, and looks at what the handler got.
async fn mend(rig: &Rig, id: &SessionId, missing: &[u64]) {
    let gaps = rig.gaps(id).await.ranges;
    let asked_for: Vec<_> = gaps.iter().flat_map(|&(from, to)| from..=to).collect();
    assert_eq!(asked_for, missing, "{:?}", rig.kind);
    assert_eq!(rig.state(id).await, State::Receiving);
    for &number in missing {
        rig.send(id, number, &chunk(TOTAL, number)).await.unwrap();
    }
    assert_eq!(rig.state(id).await, State::Completed, "{:?}", rig.kind);
    assert_eq!(rig.handler.calls().last().unwrap().bytes, content(TOTAL));
}

async fn complete(rig: &Rig) -> SessionId {
    let id = rig.nearly(TOTAL).await;
    rig.send(&id, 2, &chunk(TOTAL, 2)).await.unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn all_that_rotted_is_asked_for_again_whatever_the_handler_made_of_it() {
    let steps: [fn() -> Step; 4] = [
        || Step::Answer(200),
        || Step::Answer(422),
        || Step::Panic,
        || Step::Break,
    ];
    for kind in KINDS {
        for step in steps {
            let rig = Rig::with(kind, |config| config.delivery.on_unknown = OnUnknown::Hold);
            rig.handler.will(step());
            let id = rig.nearly(TOTAL).await;
            rot(&rig, &id, &[0, 19]);
            let view = rig.send(&id, 2, &chunk(TOTAL, 2)).await.unwrap().view;
            assert_eq!((view.state, view.uploaded), (State::Receiving, CHUNK));
            mend(&rig, &id, &[0, 1]).await;
            assert_eq!(rig.handler.calls().len(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_rots_while_nobody_takes_it_is_asked_for_again() {
    for kind in KINDS {
        for first in [Step::Answer(503), Step::Panic] {
            let rig = Rig::new(kind);
            rig.handler.will(first);
            let id = complete(&rig).await;
            rot(&rig, &id, &[15]);
            rig.settled(&id).await;
            mend(&rig, &id, &[1]).await;
        }
    }
}

/// The whole file is looked at first where the client said what it is.
#[tokio::test(start_paused = true)]
async fn what_rots_is_not_taken_for_another_file() {
    for kind in KINDS {
        for answers in [&[][..], &[503]] {
            let rig = Rig::new(kind);
            rig.handler.will_answer(answers.iter().copied());
            let mut declaration = sample::declaration(TOTAL);
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&content(TOTAL));
            declaration.digests = vec![hasher.finish()];
            let id = rig.create(declaration, "").await.unwrap().id;
            for number in 0..2 {
                rig.send(&id, number, &chunk(TOTAL, number)).await.unwrap();
            }
            if answers.is_empty() {
                rot(&rig, &id, &[0]);
            }
            rig.send(&id, 2, &chunk(TOTAL, 2)).await.unwrap();
            if !answers.is_empty() {
                rot(&rig, &id, &[0]);
            }
            rig.settled(&id).await;
            mend(&rig, &id, &[0]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_has_become_shorter_is_asked_for_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will_answer([503]);
        let id = complete(&rig).await;
        let file = fs::File::options().write(true).open(rig.data_file(&id));
        file.unwrap().set_len(CHUNK + 1).unwrap();
        rig.settled(&id).await;
        mend(&rig, &id, &[1, 2]).await;
    }
}

/// A disk that does not answer says nothing about the bytes, and nobody has to send them again.
#[tokio::test(start_paused = true)]
async fn bytes_that_cannot_be_read_are_read_again_later() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| config.delivery.on_unknown = OnUnknown::Hold);
        let id = rig.nearly(TOTAL).await;
        // The handler's reading, and the reading back after it.
        for _ in 0..2 {
            rig.faults.fail(Point::BlobRead, ErrorKind::Other);
        }
        let view = rig.send(&id, 2, &chunk(TOTAL, 2)).await.unwrap().view;
        assert_eq!(view.state, State::Undelivered, "{kind:?}");
        assert_eq!(view.failure.as_deref(), Some(&Failure::Unreadable));
        assert_eq!(view.uploaded, TOTAL);
        rig.settled(&id).await;
        assert_eq!(rig.state(&id).await, State::Completed, "{kind:?}");
        assert_eq!(rig.handler.calls().len(), 2);
    }
}

/// What an earlier process could not hand over.
#[tokio::test(start_paused = true)]
async fn rot_found_by_the_next_process_is_asked_for_again() {
    for kind in KINDS {
        for mode in [Mode::Handler, Mode::Store] {
            let rig = Rig::new(kind);
            rig.handler.will(Step::Answer(503));
            let id = complete(&rig).await;
            rig.engine.drain().await;
            rot(&rig, &id, &[29]);
            let stored = tempfile::tempdir().unwrap();
            let next = rig.again(|config| {
                config.delivery.mode = mode;
                config.delivery.storage_path = stored.path().to_owned();
            });
            next.engine.recover(Some(&next.deliver())).await;
            next.settled(&id).await;
            assert_eq!(next.gaps(&id).await.ranges, [(2, 2)], "{kind:?} {mode:?}");
            next.send(&id, 2, &chunk(TOTAL, 2)).await.unwrap();
            assert_eq!(next.state(&id).await, State::Completed);
            if mode == Mode::Store {
                let file = fs::read(stored.path().join("data.bin")).unwrap();
                assert_eq!(file, content(TOTAL));
            }
        }
    }
}

/// A checksum of 32 bits does not see everything; what it does not see is left to the digest.
#[tokio::test(start_paused = true)]
async fn an_undelivered_file_that_is_not_the_declared_one_is_rejected() {
    for kind in KINDS {
        for failure in [Failure::Answered(sample::answer(503)), Failure::TimedOut] {
            let rig = Rig::new(kind);
            let mut declaration = sample::declaration(CHUNK);
            declaration.digests = vec![Hasher::new(Algorithm::Sha256).finish()];
            let id = rig.create(declaration, "").await.unwrap().id;
            rig.engine.drain().await;
            rig.send_only(&id).await.unwrap();
            let at = Timestamp::from(SystemTime::now());
            let opened = rig.store().open(id.key()).await.unwrap().unwrap();
            let failed = Entry::HandoffFailed { failure, at };
            let entries = vec![Entry::Sealed { at }, Entry::HandoffBegun { at }, failed];
            let revision = opened.record.revision;
            opened.log.append(revision, entries).await.unwrap();
            let next = rig.again(|_| {});
            next.engine.recover(Some(&next.deliver())).await;
            next.settled(&id).await;
            assert_eq!(next.state(&id).await, State::Rejected, "{kind:?}");
            assert!(next.handler.calls().is_empty());
        }
    }
}

/// A sector that the disk does not give back is the most common rot.
#[tokio::test(start_paused = true)]
async fn what_the_disk_does_not_give_back_is_asked_for_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will(Step::Answer(503));
        let id = complete(&rig).await;
        rig.engine.drain().await;
        let next = rig.again(|_| {});
        for _ in 0..2 {
            next.faults.fail_os(Point::BlobRead, libc::EIO);
        }
        next.engine.recover(Some(&next.deliver())).await;
        next.settled(&id).await;
        mend(&next, &id, &[0]).await;
    }
}

/// It is received again, and takes a place again.
#[tokio::test(start_paused = true)]
async fn what_rotted_before_it_is_handed_over_again_is_counted_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.handler.will(Step::Answer(422));
        let id = complete(&rig).await;
        rig.engine.drain().await;
        rot(&rig, &id, &[15]);
        let next = rig.again(|_| {});
        let deliver = next.deliver();
        next.engine.recover(Some(&deliver)).await;
        assert_eq!(next.engine.sessions(), 0, "{kind:?}");
        next.engine.redeliver(id.key()).await.unwrap();
        next.settled(&id).await;
        assert_eq!(next.state(&id).await, State::Receiving);
        assert_eq!(next.engine.sessions(), 1, "{kind:?}");
        mend(&next, &id, &[1]).await;
        assert_eq!(next.engine.sessions(), 0);
    }
}
