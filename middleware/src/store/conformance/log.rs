//! A log holds what was added to it, and nothing else.

use std::time::{Duration, SystemTime};

use super::super::StoreError;
use super::patient::Patient;
use super::samples::{assert_holds, assert_reads, life, received};
use crate::upload::sample::{header, key};
use crate::upload::{Record, Timestamp};

pub(super) async fn an_upload_is_created_once(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let again = store.create(key(1), header(99)).await;
    assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
    assert_holds(store, key(1), &[]).await;
}

pub(super) async fn an_unknown_upload_is_none_and_no_error(store: Patient<'_>) {
    assert!(store.read(key(1)).await.is_none());
    assert!(store.find_open(key(1)).await.is_none());
    assert!(store.list().await.is_empty());
    store.remove(key(1)).await;
    // Asking makes nothing.
    assert!(store.list().await.is_empty());
}

pub(super) async fn entries_survive_reopening(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let life = life();
    for (number, entry) in life.iter().enumerate() {
        let (record, log) = store.open(key(1)).await;
        assert_eq!(record.revision, number as u64 + 1);
        let entry = std::slice::from_ref(entry);
        log.append(record.revision, entry).await.unwrap();
        assert_holds(store, key(1), &life[..=number]).await;
    }
    // All in one append, and one log kept open, lead to the same.
    store.create(key(2), header(20)).await.unwrap();
    let (_, log) = store.open(key(2)).await;
    log.append(1, &life[..2]).await.unwrap();
    log.append(3, &life[2..]).await.unwrap();
    assert_holds(store, key(2), &life).await;
}

pub(super) async fn entries_are_added_in_batches(store: Patient<'_>) {
    let life = life();
    for (number, size) in (1..).zip(1..=life.len()) {
        let key = key(number);
        store.create(key, header(20)).await.unwrap();
        let (Record { mut revision, .. }, log) = store.open(key).await;
        for batch in life.chunks(size) {
            log.append(revision, batch).await.unwrap();
            revision += batch.len() as u64;
            log.flush().await;
        }
        assert_holds(store, key, &life).await;
    }
}

pub(super) async fn a_wrong_revision_is_a_conflict_and_adds_nothing(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let (_, log) = store.open(key(1)).await;
    log.append(1, &[received(0)]).await.unwrap();
    for wrong in [0, 1, 3, u64::MAX] {
        let refused = log.append(wrong, &[received(10)]).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict)),
            "{wrong}: {refused:?}"
        );
        assert_reads(store, key(1), &[received(0)]).await;
    }
    log.append(2, &[received(10)]).await.unwrap();
    assert_holds(store, key(1), &[received(0), received(10)]).await;
}

pub(super) async fn nothing_appended_is_nothing_changed(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let (_, log) = store.open(key(1)).await;
    log.append(1, &[]).await.unwrap();
    assert!(matches!(
        log.append(2, &[]).await,
        Err(StoreError::Conflict)
    ));
    assert_reads(store, key(1), &[]).await;
    log.append(1, &[received(0)]).await.unwrap();
    assert_holds(store, key(1), &[received(0)]).await;
}

pub(super) async fn reading_changes_nothing(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let (_, log) = store.open(key(1)).await;
    for (number, entry) in life().into_iter().enumerate() {
        store.read(key(1)).await.unwrap();
        log.append(number as u64 + 1, &[entry]).await.unwrap();
    }
    assert_holds(store, key(1), &life()).await;
}

pub(super) async fn publishing_changes_nothing(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let (mut record, log) = store.open(key(1)).await;
    log.publish(&record, &[]).await.unwrap();
    let life = life();
    for (number, entry) in life.iter().enumerate() {
        let entry = std::slice::from_ref(entry);
        log.append(record.revision, entry).await.unwrap();
        log.flush().await;
        record.apply(&entry[0]).unwrap();
        log.publish(&record, entry).await.unwrap();
        log.publish(&record, &[]).await.unwrap();
        assert_reads(store, key(1), &life[..=number]).await;
    }
    assert_holds(store, key(1), &life).await;
}

pub(super) async fn a_removed_upload_is_gone_and_may_come_again(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let (_, log) = store.open(key(1)).await;
    log.append(1, &[received(0)]).await.unwrap();
    drop(log);
    for _ in 0..2 {
        store.remove(key(1)).await;
        assert!(store.read(key(1)).await.is_none());
        assert!(store.find_open(key(1)).await.is_none());
        assert!(store.list().await.is_empty());
    }
    store.create(key(1), header(20)).await.unwrap();
    assert_holds(store, key(1), &[]).await;
}

pub(super) async fn uploads_do_not_know_each_other(store: Patient<'_>) {
    for number in 1..=3 {
        store.create(key(number), header(20)).await.unwrap();
    }
    let (_, second) = store.open(key(2)).await;
    second
        .append(1, &[received(0), received(10)])
        .await
        .unwrap();
    store.remove(key(1)).await;
    assert!(store.read(key(1)).await.is_none());
    assert_holds(store, key(2), &[received(0), received(10)]).await;
    assert_holds(store, key(3), &[]).await;
}

pub(super) async fn every_upload_is_listed_with_its_last_change(store: Patient<'_>) {
    // Filesystems keep time in ticks of some milliseconds.
    let before = Timestamp::from(SystemTime::now() - Duration::from_millis(100));
    let mut keys: Vec<_> = (1..=20).map(key).collect();
    for &key in &keys {
        store.create(key, header(20)).await.unwrap();
    }
    let (_, log) = store.open(key(1)).await;
    log.append(1, &[received(0)]).await.unwrap();
    let mut listed = store.list().await;
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
