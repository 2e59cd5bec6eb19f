//! New uploads, repeated requests for them, and whether there is room.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Point;
use super::rig::{CHUNK, KINDS, Kind, Rig};
use crate::admission::{Allowance, Full, Request};
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{Algorithm, Declaration, FileName, Hasher, Owner, State};

#[tokio::test]
async fn a_new_upload_waits_for_bytes() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let created = rig.create(sample::declaration(25), "alice").await.unwrap();
        let view = created.view;
        assert_eq!(
            (view.state, view.uploaded, view.chunk_size),
            (State::Receiving, 0, CHUNK)
        );
        assert_eq!(view.key, created.id.key());
        assert_eq!(view.header.owner.0, "alice");
        assert_eq!(rig.gaps(&created.id).await.ranges, [(0, 2)]);
        let expires = view.header.created.after(Duration::from_secs(600));
        assert_eq!(view.expires, expires, "the time to wait for the first byte");
        assert!(
            !rig.data_file(&created.id).exists(),
            "{kind:?}: nothing is preallocated"
        );
    }
}

#[tokio::test]
async fn an_upload_keeps_the_limits_it_was_created_with() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(5 * CHUNK).await;
        let next = rig.again(|config| {
            config.uploads.chunk_size = 1_000;
            config.uploads.min_chunk_size = 1_000;
            config.uploads.max_chunk_size = 1_000;
        });
        assert_eq!(
            next.send(&id, 0, &[1; 7]).await.unwrap().view.chunk_size,
            7,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_repeated_create_finds_its_upload() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let create = |declaration: Declaration, owner: &'static str| {
            rig.create_as(sample::id(9), true, declaration, owner)
        };
        let declared = sample::declaration(2 * CHUNK);
        let first = create(declared.clone(), "alice").await.unwrap();
        rig.send(&first.id, 0, &[1; 10]).await.unwrap();
        // It comes by another way: that is not another file.
        let mut elsewhere = declared.clone();
        elsewhere.host = Some("other.example".to_owned());
        elsewhere.headers = vec![("x-trace".to_owned(), "2".to_owned())];
        for declaration in [declared.clone(), elsewhere] {
            let again = create(declaration, "alice").await.unwrap();
            assert_eq!(again.id, first.id);
            assert_eq!(again.view.uploaded, CHUNK, "{kind:?}");
        }
        let others: [fn(&mut Declaration); 5] = [
            |declaration| declaration.total += 1,
            |declaration| declaration.name = FileName::parse("other.bin").unwrap(),
            |declaration| declaration.chunk_size = Some(7),
            |declaration| declaration.content_type = Some("text/plain".to_owned()),
            |declaration| {
                declaration.digests = vec![Hasher::new(Algorithm::Sha256).finish()];
            },
        ];
        for change in others {
            let mut other = declared.clone();
            change(&mut other);
            let refusal = create(other, "alice").await.unwrap_err();
            assert_eq!(refusal, Refusal::IdempotencyMismatch, "{kind:?}");
        }
        let refusal = create(declared.clone(), "bob").await.unwrap_err();
        assert_eq!(refusal, Refusal::IdempotencyMismatch);
        rig.send(&first.id, 1, &[1; 10]).await.unwrap();
        let again = create(declared, "alice").await.unwrap();
        assert_eq!(again.view.state, State::Completed, "{kind:?}");
        assert_eq!(rig.engine.sessions(), 0);
    }
}

#[tokio::test]
async fn an_expired_upload_does_not_stand_in_the_way_of_its_successor() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let create = || rig.create_as(sample::id(9), true, sample::declaration(2 * CHUNK), "");
        let id = create().await.unwrap().id;
        rig.send(&id, 0, &[1; 10]).await.unwrap();
        rig.pass(Duration::from_secs(25 * 3600));
        let again = create().await.unwrap();
        assert_eq!(
            (again.view.uploaded, again.view.state),
            (0, State::Receiving),
            "{kind:?}"
        );
        assert_eq!(rig.engine.sessions(), 1);
        assert!(!rig.data_file(&id).exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repeated_creates_at_once_make_one_upload() {
    for round in 0..60 {
        create_at_once(Kind::Memory, round).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn repeated_creates_at_once_make_one_upload_on_disk() {
    for round in 0..200 {
        create_at_once(Kind::Disk, round).await;
    }
}

async fn create_at_once(kind: Kind, round: usize) {
    let rig = Arc::new(Rig::new(kind));
    // An empty file is handed over by whoever creates it.
    let total = if round.is_multiple_of(2) { 0 } else { CHUNK };
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let rig = Arc::clone(&rig);
        let declaration = sample::declaration(total);
        let id = sample::id(9);
        requests.spawn(async move { rig.create_as(id, true, declaration, "").await.unwrap() });
    }
    let created = requests.join_all().await;
    assert!(created.iter().all(|created| created.id == sample::id(9)));
    assert_eq!(
        rig.store().list().await.unwrap().len(),
        1,
        "{kind:?} {round}"
    );
    assert_eq!(
        rig.handler.calls().len(),
        usize::from(total == 0),
        "{kind:?} {round}"
    );
}

/// The slower of two requests with one idempotency key must not count in what has ended.
#[tokio::test(start_paused = true)]
async fn a_repeated_create_that_comes_second_is_not_counted() {
    for kind in KINDS {
        let rig = Arc::new(Rig::new(kind));
        let create = || {
            let rig = Arc::clone(&rig);
            let declaration = sample::declaration(0);
            tokio::spawn(async move { rig.create_as(sample::id(9), true, declaration, "").await })
        };
        // It has seen that there is no such upload.
        rig.faults.free_space.shut();
        let slower = create();
        rig.faults.free_space.holds(1).await;
        rig.faults.free_space.open_for_others();
        let mut other = create();
        // Whether it waits for the slower one is its own affair.
        let early = tokio::time::timeout(Duration::from_secs(10), &mut other).await;
        rig.faults.free_space.open();
        let other = match early {
            Ok(other) => other,
            Err(_) => other.await,
        };
        assert_eq!(other.unwrap().unwrap().view.state, State::Completed);
        assert_eq!(slower.await.unwrap().unwrap().view.state, State::Completed);
        assert_eq!(rig.handler.calls().len(), 1);
        assert_eq!(rig.engine.sessions(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn an_expired_upload_that_is_still_written_is_not_made_anew() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let create = || rig.create_as(sample::id(9), true, sample::declaration(2 * CHUNK), "");
        let id = create().await.unwrap().id;
        rig.send(&id, 0, &[1; 10]).await.unwrap();
        let (mut client, request) = rig.request(&id, 1);
        client.send(b"xxxx");
        client.gave(1).await;
        rig.pass(Duration::from_secs(25 * 3600));
        assert_eq!(create().await.unwrap_err(), Refusal::Busy, "{kind:?}");
        client.send(b"xxxxxx");
        drop(client);
        assert_eq!(request.await.unwrap().unwrap().view.state, State::Completed);
        assert_eq!(rig.engine.sessions(), 0);
    }
}

#[tokio::test]
async fn a_file_too_large_is_refused_before_anything_is_made() {
    let rig = Rig::with(Kind::Disk, |config| config.server.max_upload_size = 100);
    let refusal = rig.create(sample::declaration(101), "").await.unwrap_err();
    assert_eq!(refusal, Refusal::TooLarge { bytes_max: 100 });
    rig.create(sample::declaration(100), "").await.unwrap();
    assert_eq!(rig.engine.sessions(), 1);
}

#[tokio::test]
async fn unfinished_uploads_have_a_bound() {
    for kind in KINDS {
        let rig = Rig::with(kind, |config| config.uploads.max_sessions = 2);
        let refused = || async {
            let refusal = rig
                .create(sample::declaration(CHUNK), "")
                .await
                .unwrap_err();
            assert_eq!(refusal, Refusal::TooManySessions, "{kind:?}");
        };
        let (first, second) = (rig.upload(CHUNK).await, rig.upload(CHUNK).await);
        refused().await;
        // Completed, cancelled and rejected ones are not unfinished.
        rig.send_only(&first).await.unwrap();
        let third = rig.upload(CHUNK).await;
        refused().await;
        rig.engine.cancel(&second).await.unwrap();
        let fourth = rig.upload(CHUNK).await;
        refused().await;
        rig.handler.will_answer([422]);
        rig.send_only(&third).await.unwrap();
        rig.upload(CHUNK).await;
        refused().await;
        // Undelivered ones are.
        rig.handler.will_answer([503]);
        rig.send_only(&fourth).await.unwrap();
        refused().await;
        assert_eq!(rig.store().list().await.unwrap().len(), 5);
    }
}

#[tokio::test]
async fn one_owner_does_not_take_the_place_of_another() {
    let rig = Rig::with(Kind::Memory, |config| {
        config.uploads.max_sessions_per_owner = 1;
    });
    for owner in ["alice", "bob", ""] {
        rig.create(sample::declaration(CHUNK), owner).await.unwrap();
        let refusal = rig
            .create(sample::declaration(CHUNK), owner)
            .await
            .unwrap_err();
        assert_eq!(refusal, Refusal::TooManySessions, "{owner:?}");
    }
}

#[tokio::test]
async fn one_owner_does_not_reserve_all_the_space() {
    for kind in KINDS {
        let change = |config: &mut crate::config::UploadConfig| {
            config.uploads.max_reserved_per_owner = 3 * CHUNK;
        };
        let rig = Rig::with(kind, change);
        let create = |total, owner| rig.create(sample::declaration(total), owner);
        let id = create(2 * CHUNK, "alice").await.unwrap().id;
        let refusal = create(2 * CHUNK, "alice").await.unwrap_err();
        assert_eq!(refusal, Refusal::TooManySessions, "{kind:?}");
        create(2 * CHUNK, "bob").await.unwrap();
        // What will never fit is told so.
        let refusal = create(3 * CHUNK + 1, "carol").await.unwrap_err();
        let bytes_max = 3 * CHUNK;
        assert_eq!(refusal, Refusal::TooLarge { bytes_max });
        rig.send(&id, 0, &[1; 10]).await.unwrap();
        create(2 * CHUNK, "alice").await.unwrap();
        // Another process counts the same.
        let next = rig.again(|_| {});
        next.engine.recover(None).await;
        let create = |number, total| {
            next.create_as(
                sample::id(number),
                false,
                sample::declaration(total),
                "alice",
            )
        };
        let refusal = create(100, 1).await.unwrap_err();
        assert_eq!(refusal, Refusal::TooManySessions, "{kind:?}");
        next.send(&id, 1, &[1; 10]).await.unwrap();
        create(100, CHUNK).await.unwrap();
    }
}

#[tokio::test]
async fn space_that_is_to_stay_free_stays_free() {
    let rig = Rig::with(Kind::Disk, |config| config.uploads.min_free_space = 1 << 60);
    let refusal = rig.create(sample::declaration(1), "").await.unwrap_err();
    assert_eq!(refusal, Refusal::NoSpace);
    assert_eq!(rig.engine.sessions(), 0);
    assert_eq!(std::fs::read_dir(rig.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_others_still_expect_is_not_free() {
    let rig = Rig::with(Kind::Disk, |config| {
        config.server.max_upload_size = u64::MAX;
    });
    let free = rig.engine.blobs.free_space().await.unwrap().unwrap();
    let large = rig
        .create(sample::declaration(free / 4 * 3), "")
        .await
        .unwrap();
    let refusal = rig
        .create(sample::declaration(free / 4 * 3), "")
        .await
        .unwrap_err();
    assert_eq!(refusal, Refusal::NoSpace);
    rig.engine.cancel(&large.id).await.unwrap();
    rig.create(sample::declaration(free / 4 * 3), "")
        .await
        .unwrap();
    // Nobody sent a byte of it for an hour.
    rig.pass(Duration::from_secs(3_600));
    rig.create(sample::declaration(free / 4 * 3), "")
        .await
        .unwrap();
}

#[tokio::test]
async fn bytes_that_have_arrived_are_not_expected_any_more() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(2 * CHUNK).await;
        let owner = Owner::default();
        // Of 100 free bytes, all but 10 are asked for.
        let reserve = || {
            let (key, now) = (sample::key(99), rig.engine.clock.read().steady);
            let (bytes, owner) = (90, &owner);
            let request = Request {
                key,
                owner,
                bytes,
                now,
            };
            let free_space = Some(100);
            let allowance = Allowance {
                sessions: 0,
                sessions_per_owner: 0,
                reserved_per_owner: 0,
                free_space,
                keep_free: 0,
            };
            rig.engine.budget.reserve(&request, &allowance)
        };
        assert_eq!(reserve(), Err(Full::Space), "{kind:?}");
        rig.send(&id, 1, &[1; 10]).await.unwrap();
        assert_eq!(reserve(), Ok(()), "{kind:?}");
    }
}

#[tokio::test]
async fn a_create_that_fails_takes_no_place() {
    let cases = [
        (ErrorKind::StorageFull, Refusal::NoSpace),
        (ErrorKind::Other, Refusal::Internal),
    ];
    for kind in KINDS {
        for (error, expected) in cases.clone() {
            let rig = Rig::new(kind);
            rig.faults.fail(Point::StoreCreate, error);
            let refusal = rig.create(sample::declaration(1), "").await.unwrap_err();
            assert_eq!(refusal, expected, "{kind:?}");
            assert_eq!(rig.engine.sessions(), 0);
        }
    }
}
