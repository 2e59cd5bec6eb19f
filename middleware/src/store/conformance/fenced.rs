//! Only the newest opening of a log writes.

use super::super::StoreError;
use super::patient::{Patient, PatientLog};
use super::samples::{assert_holds, assert_reads, folded, received};
use crate::upload::sample::{header, key};
use crate::upload::{Entry, Record};

async fn assert_refuses(log: &PatientLog<'_>, revision: u64) {
    let refused = log.append(revision, &[received(10)]).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
}

pub(super) async fn a_log_that_was_opened_earlier_takes_no_more(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let (_, old) = store.open(key(1)).await;
    old.append(1, &[Entry::ChunkSize { bytes: 10 }])
        .await
        .unwrap();
    let (record, new) = store.open(key(1)).await;
    assert_eq!(record.revision, 2);
    assert_refuses(&old, 2).await;
    new.append(2, &[received(0)]).await.unwrap();
    for revision in [2, 3] {
        assert_refuses(&old, revision).await;
    }
    drop(old);
    let entries = [Entry::ChunkSize { bytes: 10 }, received(0)];
    assert_reads(store, key(1), &entries).await;
    new.append(3, &[received(10)]).await.unwrap();
    let [chunk_size, first] = entries;
    assert_holds(store, key(1), &[chunk_size, first, received(10)]).await;

    // It is not the newest again because the newest is gone.
    store.create(key(2), header(20)).await.unwrap();
    let (_, old) = store.open(key(2)).await;
    drop(store.open(key(2)).await);
    assert_refuses(&old, 1).await;
    assert_holds(store, key(2), &[]).await;
}

pub(super) async fn a_log_of_a_removed_upload_takes_no_more(store: Patient<'_>) {
    store.create(key(1), header(20)).await.unwrap();
    let (_, old) = store.open(key(1)).await;
    store.remove(key(1)).await;
    assert_refuses(&old, 1).await;
    assert!(store.read(key(1)).await.is_none());
    store.create(key(1), header(20)).await.unwrap();
    assert_refuses(&old, 1).await;
    let (_, new) = store.open(key(1)).await;
    assert_refuses(&old, 1).await;
    new.append(1, &[received(0)]).await.unwrap();
    drop(old);
    new.append(2, &[received(10)]).await.unwrap();
    assert_holds(store, key(1), &[received(0), received(10)]).await;
}

pub(super) async fn logs_of_other_uploads_are_not_fenced(store: Patient<'_>) {
    for number in [1, 2] {
        store.create(key(number), header(20)).await.unwrap();
    }
    let (_, first) = store.open(key(1)).await;
    let (_, second) = store.open(key(2)).await;
    first.append(1, &[received(0)]).await.unwrap();
    second.append(1, &[received(0)]).await.unwrap();
    store.remove(key(2)).await;
    assert!(store.find_open(key(3)).await.is_none());
    first.append(2, &[received(10)]).await.unwrap();
    assert_holds(store, key(1), &[received(0), received(10)]).await;
}

const ROUNDS: u64 = 20;
const PIECE: u64 = 10;

/// Opens an upload over and over, adding a piece each time; those that were taken.
async fn add_pieces(store: Patient<'_>, number: u64) -> Vec<u64> {
    let mut taken = Vec::new();
    for round in 0..ROUNDS {
        let start = (number * ROUNDS + round) * PIECE;
        let (record, log) = store.open(key(1)).await;
        match log.try_append(record.revision, &[received(start)]).await {
            Ok(()) => taken.push(start),
            // Neither has added anything.
            Err(StoreError::Conflict | StoreError::Unavailable) => {}
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

pub(super) async fn what_many_openings_add_at_the_same_time_is_all_there(store: Patient<'_>) {
    store
        .create(key(1), header(4 * ROUNDS * PIECE))
        .await
        .unwrap();
    let [a, b, c, d] = [0, 1, 2, 3].map(|number| add_pieces(store, number));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let mut taken = [a, b, c, d].concat();
    taken.sort_unstable();
    assert!(!taken.is_empty(), "the newest is not refused");
    let starts = |record: &Record| record.ranges.iter().map(|(span, _)| span.start).collect();
    let (opened, _) = store.open(key(1)).await;
    let held: Vec<u64> = starts(&opened);
    assert_eq!(held, taken);
    assert_eq!(opened.revision, folded(&[]).revision + taken.len() as u64);
}
