//! What every store does, whatever it is made of.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, SystemTime};

use super::{Disk, Memory, Store, StoreError};
use crate::upload::tests::sample::{answer, header, key};
use crate::upload::{Entry, Failure, Record, Timestamp, UploadKey};
use crate::volume::Volume;

/// Runs every check against every store, a new one each time.
macro_rules! every_store {
    ($($check:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $check() {
                super::$check(&super::Memory::default()).await;
            })*
        }

        mod disk {
            $(#[tokio::test] async fn $check() { super::on_disk(1, super::$check).await; })*
        }

        /// Disk, where nothing may run on the caller's task.
        mod disk_blocking {
            $(#[tokio::test] async fn $check() { super::on_disk(0, super::$check).await; })*
        }
    };
}

every_store! {
    an_upload_is_created_once
    an_unknown_upload_is_none_and_no_error
    entries_survive_reopening
    a_wrong_revision_is_a_conflict_and_adds_nothing
    nothing_appended_is_nothing_changed
    reading_changes_nothing
    a_removed_upload_is_gone_and_may_come_again
    uploads_do_not_know_each_other
    every_upload_is_listed_with_its_last_change
    an_upload_is_named_as_delivering_from_seal_to_end
    an_upload_is_named_as_delivering_again_when_it_is_tried_again
}

async fn on_disk(inline_max: usize, check: impl AsyncFnOnce(&dyn Store)) {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::test(dir.path(), inline_max);
    check(&Disk::new(dir.path().to_owned(), volume)).await;
}

fn received(start: u64) -> Entry {
    Entry::Received {
        start,
        len: 10,
        crc: 7,
        at: Timestamp(2_000),
    }
}

/// A whole life of an upload of 20 bytes, without its header.
fn life() -> Vec<Entry> {
    let at = Timestamp(3_000);
    vec![
        Entry::ChunkSize { bytes: 10 },
        received(10),
        received(0),
        Entry::Withdrawn {
            start: 0,
            len: 10,
            at,
        },
        received(0),
        Entry::Sealed { at },
        Entry::HandoffBegun { at },
        Entry::HandoffFailed {
            failure: Failure::Answered(answer(503)),
            at,
        },
        Entry::HandoffBegun { at },
        Entry::HandoffEnded {
            answer: Some(answer(201)),
            name: None,
            sha256: None,
            at,
        },
    ]
}

fn folded(entries: &[Entry]) -> Record {
    let created = Entry::Created(header(20));
    Record::replay(std::iter::once(created).chain(entries.iter().cloned())).unwrap()
}

async fn assert_holds(store: &dyn Store, key: UploadKey, entries: &[Entry]) {
    let expected = format!("{:?}", folded(entries));
    let read = store.read(key).await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), expected);
    let opened = store.open(key).await.unwrap().unwrap();
    assert_eq!(format!("{:?}", opened.record), expected);
}

pub(crate) async fn an_upload_is_created_once(store: &dyn Store) {
    store.create(key(1), header(20)).await.unwrap();
    let again = store.create(key(1), header(99)).await;
    assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
    assert_holds(store, key(1), &[]).await;
}

pub(crate) async fn an_unknown_upload_is_none_and_no_error(store: &dyn Store) {
    assert!(store.read(key(1)).await.unwrap().is_none());
    assert!(store.open(key(1)).await.unwrap().is_none());
    assert!(store.list().await.unwrap().is_empty());
    store.remove(key(1)).await.unwrap();
    // Asking makes nothing.
    assert!(store.list().await.unwrap().is_empty());
}

pub(crate) async fn entries_survive_reopening(store: &dyn Store) {
    store.create(key(1), header(20)).await.unwrap();
    let life = life();
    for (number, entry) in life.iter().enumerate() {
        let opened = store.open(key(1)).await.unwrap().unwrap();
        assert_eq!(opened.record.revision, number as u64 + 1);
        opened
            .log
            .append(number as u64 + 1, vec![entry.clone()])
            .await
            .unwrap();
        assert_holds(store, key(1), &life[..=number]).await;
    }
    // All in one append, and one log kept open, lead to the same.
    store.create(key(2), header(20)).await.unwrap();
    let log = store.open(key(2)).await.unwrap().unwrap().log;
    log.append(1, life[..2].to_vec()).await.unwrap();
    log.append(3, life[2..].to_vec()).await.unwrap();
    assert_holds(store, key(2), &life).await;
}

pub(crate) async fn a_wrong_revision_is_a_conflict_and_adds_nothing(store: &dyn Store) {
    store.create(key(1), header(20)).await.unwrap();
    let log = store.open(key(1)).await.unwrap().unwrap().log;
    log.append(1, vec![received(0)]).await.unwrap();
    for wrong in [0, 1, 3, u64::MAX] {
        let refused = log.append(wrong, vec![received(10)]).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict)),
            "{wrong}: {refused:?}"
        );
        assert_holds(store, key(1), &[received(0)]).await;
    }
    log.append(2, vec![received(10)]).await.unwrap();
    assert_holds(store, key(1), &[received(0), received(10)]).await;
}

pub(crate) async fn nothing_appended_is_nothing_changed(store: &dyn Store) {
    store.create(key(1), header(20)).await.unwrap();
    let log = store.open(key(1)).await.unwrap().unwrap().log;
    log.append(1, Vec::new()).await.unwrap();
    assert!(matches!(
        log.append(2, Vec::new()).await,
        Err(StoreError::Conflict)
    ));
    assert_holds(store, key(1), &[]).await;
    log.append(1, vec![received(0)]).await.unwrap();
    assert_holds(store, key(1), &[received(0)]).await;
}

pub(crate) async fn reading_changes_nothing(store: &dyn Store) {
    store.create(key(1), header(20)).await.unwrap();
    let log = store.open(key(1)).await.unwrap().unwrap().log;
    for (number, entry) in life().into_iter().enumerate() {
        store.read(key(1)).await.unwrap().unwrap();
        log.append(number as u64 + 1, vec![entry]).await.unwrap();
    }
    assert_holds(store, key(1), &life()).await;
}

pub(crate) async fn a_removed_upload_is_gone_and_may_come_again(store: &dyn Store) {
    store.create(key(1), header(20)).await.unwrap();
    let log = store.open(key(1)).await.unwrap().unwrap().log;
    log.append(1, vec![received(0)]).await.unwrap();
    drop(log);
    for _ in 0..2 {
        store.remove(key(1)).await.unwrap();
        assert!(store.read(key(1)).await.unwrap().is_none());
        assert!(store.open(key(1)).await.unwrap().is_none());
        assert!(store.list().await.unwrap().is_empty());
    }
    store.create(key(1), header(20)).await.unwrap();
    assert_holds(store, key(1), &[]).await;
}

pub(crate) async fn uploads_do_not_know_each_other(store: &dyn Store) {
    for number in 1..=3 {
        store.create(key(number), header(20)).await.unwrap();
    }
    let second = store.open(key(2)).await.unwrap().unwrap().log;
    second
        .append(1, vec![received(0), received(10)])
        .await
        .unwrap();
    store.remove(key(1)).await.unwrap();
    assert!(store.read(key(1)).await.unwrap().is_none());
    assert_holds(store, key(2), &[received(0), received(10)]).await;
    assert_holds(store, key(3), &[]).await;
}

pub(crate) async fn every_upload_is_listed_with_its_last_change(store: &dyn Store) {
    // Filesystems keep time in ticks of some milliseconds.
    let before = Timestamp::from(SystemTime::now() - Duration::from_millis(100));
    let mut keys: Vec<_> = (1..=20).map(key).collect();
    for &key in &keys {
        store.create(key, header(20)).await.unwrap();
    }
    let log = store.open(key(1)).await.unwrap().unwrap().log;
    log.append(1, vec![received(0)]).await.unwrap();
    let mut listed = store.list().await.unwrap();
    let after = Timestamp::from(SystemTime::now() + Duration::from_millis(100));
    assert!(
        listed
            .iter()
            .all(|upload| (before..=after).contains(&upload.changed)),
        "{listed:?}"
    );
    keys.sort();
    listed.sort_by_key(|upload| upload.key);
    assert_eq!(
        listed.iter().map(|upload| upload.key).collect::<Vec<_>>(),
        keys
    );
}

async fn delivering(store: &dyn Store) -> Vec<UploadKey> {
    let mut keys = store.delivering().await.unwrap();
    keys.sort();
    keys
}

async fn add(store: &dyn Store, key: UploadKey, entries: Vec<Entry>) {
    let opened = store.open(key).await.unwrap().unwrap();
    opened
        .log
        .append(opened.record.revision, entries)
        .await
        .unwrap();
}

pub(crate) async fn an_upload_is_named_as_delivering_from_seal_to_end(store: &dyn Store) {
    assert!(delivering(store).await.is_empty());
    let at = Timestamp(3_000);
    let ended = |answer| Entry::HandoffEnded {
        answer,
        name: None,
        sha256: None,
        at,
    };
    let ends = [
        vec![Entry::HandoffBegun { at }, ended(Some(answer(201)))],
        vec![Entry::HandoffBegun { at }, ended(Some(answer(422)))],
        vec![Entry::DigestMismatch { at }],
        vec![Entry::Withdrawn {
            start: 0,
            len: 10,
            at,
        }],
        vec![
            Entry::HandoffFailed {
                failure: Failure::TimedOut,
                at,
            },
            Entry::Cancelled { at },
        ],
    ];
    store.create(key(9), header(20)).await.unwrap();
    for (number, end) in (1..).zip(ends) {
        let key = key(number);
        store.create(key, header(20)).await.unwrap();
        add(store, key, vec![received(0), received(10)]).await;
        assert!(delivering(store).await.is_empty());
        add(store, key, vec![Entry::Sealed { at }]).await;
        for entry in end {
            assert_eq!(delivering(store).await, [key], "before {entry:?}");
            add(store, key, vec![entry]).await;
        }
        assert!(delivering(store).await.is_empty());
    }
}

pub(crate) async fn an_upload_is_named_as_delivering_again_when_it_is_tried_again(
    store: &dyn Store,
) {
    let at = Timestamp(3_000);
    let key = key(1);
    store.create(key, header(10)).await.unwrap();
    let rejected = Entry::HandoffEnded {
        answer: Some(answer(422)),
        name: None,
        sha256: None,
        at,
    };
    let whole = vec![received(0), Entry::Sealed { at }, rejected];
    add(store, key, whole).await;
    assert!(delivering(store).await.is_empty());
    add(store, key, vec![Entry::HandoffBegun { at }]).await;
    assert_eq!(delivering(store).await, [key]);
    store.remove(key).await.unwrap();
    assert!(delivering(store).await.is_empty());
    store.delivered(key).await.unwrap();
}
