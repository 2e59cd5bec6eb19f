//! What the handler did, and what becomes of the bytes.

use std::time::Duration;

use tokio::sync::oneshot;

use super::handler::Step;
use super::rig::{CHUNK, KINDS, Kind, Rig, content};
use crate::config::OnUnknown;
use crate::upload::tests::sample;
use crate::upload::{Algorithm, Digest, Failure, Hasher, State};

fn holding(kind: Kind) -> Rig {
    Rig::with(kind, |config| {
        config.delivery.on_unknown = OnUnknown::Hold;
        config.delivery.finalize_wait = Duration::from_secs(3_600);
        config.delivery.timeout = Duration::from_secs(600);
    })
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

#[tokio::test]
async fn a_taken_file_leaves_its_answer_and_no_bytes() {
    for kind in KINDS {
        for status in [200, 201, 204, 302, 303, 399] {
            let rig = Rig::new(kind);
            rig.handler.will_answer([status]);
            let id = rig.upload(CHUNK).await;
            let view = rig.send_only(&id).await.unwrap().view;
            assert_eq!(view.state, State::Completed, "{kind:?} {status}");
            assert_eq!(view.answer.as_deref(), Some(&sample::answer(status)));
            rig.settled(&id).await;
            assert!(!rig.data_file(&id).exists(), "{kind:?}");
            assert_eq!(rig.engine.sessions(), 0);
            assert!(
                rig.engine.table.peek(id.key()).is_none(),
                "its files are closed"
            );
        }
    }
}

#[tokio::test]
async fn a_rejected_file_keeps_its_bytes_and_is_not_offered_again() {
    for kind in KINDS {
        for status in [400, 401, 403, 409, 410, 413, 415, 422, 451] {
            let rig = Rig::new(kind);
            rig.handler.will_answer([status]);
            let id = rig.upload(CHUNK).await;
            for duplicate in [false, true] {
                let appended = rig.send_only(&id).await.unwrap();
                assert_eq!(appended.duplicate, duplicate);
                assert_eq!(appended.view.state, State::Rejected, "{kind:?} {status}");
                assert_eq!(appended.view.answer.unwrap().status, status);
            }
            rig.settled(&id).await;
            assert_eq!(std::fs::read(rig.data_file(&id)).unwrap(), content(CHUNK));
            assert_eq!(rig.handler.calls().len(), 1);
            assert_eq!(rig.engine.sessions(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_no_answer_is_unknown_and_held() {
    let cases: [(fn() -> Step, Failure); 2] = [
        (|| Step::Panic, Failure::Panicked),
        (|| Step::Break, Failure::Broken),
    ];
    for kind in KINDS {
        for (step, failure) in &cases {
            let rig = holding(kind);
            rig.handler.will(step());
            let id = rig.upload(CHUNK).await;
            for _ in 0..3 {
                let view = rig.send_only(&id).await.unwrap().view;
                assert_eq!(view.state, State::Unknown, "{kind:?}");
                assert_eq!(view.failure.as_deref(), Some(failure));
                assert!(view.answer.is_none());
            }
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert_eq!(rig.handler.calls().len(), 1, "{kind:?}: nobody decided");
            assert!(rig.data_file(&id).exists());
            assert_eq!(rig.engine.sessions(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_dropped_and_unknown() {
    for kind in KINDS {
        let rig = holding(kind);
        let (tell, dropped) = oneshot::channel();
        rig.handler.will(Step::Never(tell));
        let id = rig.upload(CHUNK).await;
        let begun = tokio::time::Instant::now();
        let view = rig.send_only(&id).await.unwrap().view;
        assert_eq!(begun.elapsed().as_secs(), 600, "{kind:?}");
        assert_eq!(view.state, State::Unknown);
        assert_eq!(view.failure.as_deref(), Some(&Failure::TimedOut));
        dropped.await.unwrap();
    }
}

/// A handler is the app's code: it can panic before there is a future.
#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_at_once_is_unknown_too() {
    for kind in KINDS {
        let rig = holding(kind);
        rig.handler.will(Step::PanicAtOnce);
        let id = rig.upload(CHUNK).await;
        let view = rig.send_only(&id).await.unwrap().view;
        assert_eq!(view.state, State::Unknown, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_is_offered_again_unless_it_is_held() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let (tell, _dropped) = oneshot::channel();
        for step in [Step::Panic, Step::Break, Step::Never(tell)] {
            rig.handler.will(step);
        }
        let id = rig.upload(CHUNK).await;
        let view = rig.send_only(&id).await.unwrap().view;
        assert_eq!(view.state, State::Unknown, "{kind:?}");
        rig.handler.called(4).await;
        rig.settled(&id).await;
        assert_eq!(rig.state(&id).await, State::Completed, "{kind:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_declared_never_reaches_the_handler() {
    for kind in KINDS {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let rig = Rig::new(kind);
            let mut declaration = sample::declaration(CHUNK);
            declaration.digests = vec![digest(algorithm, b"another file")];
            let id = rig.create(declaration, "").await.unwrap().id;
            for _ in 0..2 {
                let view = rig.send_only(&id).await.unwrap().view;
                assert_eq!(view.state, State::Rejected, "{kind:?}");
                assert!(view.answer.is_none());
            }
            rig.settled(&id).await;
            assert!(rig.handler.calls().is_empty(), "{kind:?}");
            assert!(!rig.data_file(&id).exists(), "it is of no use to anybody");
            assert_eq!(rig.engine.sessions(), 0);
        }
    }
}

/// All of several digests must be right.
#[tokio::test]
async fn one_wrong_digest_is_enough() {
    let rig = Rig::new(Kind::Disk);
    let mut declaration = sample::declaration(CHUNK);
    let (sha256, sha512) = (Algorithm::Sha256, Algorithm::Sha512);
    declaration.digests = vec![digest(sha256, &content(CHUNK)), digest(sha512, b"another")];
    let id = rig.create(declaration, "").await.unwrap().id;
    assert_eq!(
        rig.send_only(&id).await.unwrap().view.state,
        State::Rejected
    );
    assert!(rig.handler.calls().is_empty());
}

#[tokio::test]
async fn the_sha_256_of_the_file_is_known_in_the_end() {
    let sha256 = digest(Algorithm::Sha256, &content(CHUNK));
    let sha512 = digest(Algorithm::Sha512, &content(CHUNK));
    let cases = [
        (vec![], true),
        (vec![sha512.clone()], true),
        (vec![sha256.clone()], false),
        (vec![sha512, sha256.clone()], false),
    ];
    for kind in KINDS {
        for (digests, computed_on_the_way) in &cases {
            let rig = Rig::new(kind);
            let mut declaration = sample::declaration(CHUNK);
            declaration.digests.clone_from(digests);
            let id = rig.create(declaration, "").await.unwrap().id;
            let view = rig.send_only(&id).await.unwrap().view;
            assert_eq!(view.state, State::Completed, "{kind:?}");
            assert_eq!(view.sha256, Some(sha256.to_hex()));
            assert_eq!(rig.handler.calls()[0].wants_sha256, *computed_on_the_way);
        }
    }
}
