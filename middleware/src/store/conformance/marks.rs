//! An upload is named as delivering as long as it is sealed and has not ended.

use super::patient::Patient;
use super::samples::{AT, ended, received};
use crate::upload::sample::{header, key};
use crate::upload::{Entry, Failure, UploadKey};

async fn delivering(store: Patient<'_>) -> Vec<UploadKey> {
    let mut keys = store.delivering().await;
    keys.sort();
    keys
}

async fn add(store: Patient<'_>, key: UploadKey, entries: &[Entry]) {
    let (record, log) = store.open(key).await;
    log.append(record.revision, entries).await.unwrap();
}

pub(super) async fn an_upload_is_named_as_delivering_from_seal_to_end(store: Patient<'_>) {
    assert!(delivering(store).await.is_empty());
    let at = AT;
    let ends = [
        vec![Entry::HandoffBegun { at }, ended(201)],
        vec![Entry::HandoffBegun { at }, ended(422)],
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
        add(store, key, &[received(0), received(10)]).await;
        assert!(delivering(store).await.is_empty());
        add(store, key, &[Entry::Sealed { at }]).await;
        for entry in end {
            assert_eq!(delivering(store).await, [key], "before {entry:?}");
            add(store, key, &[entry]).await;
        }
        assert!(delivering(store).await.is_empty());
    }
}

pub(super) async fn an_upload_is_named_as_delivering_again_when_it_is_tried_again(
    store: Patient<'_>,
) {
    let (at, key) = (AT, key(1));
    store.create(key, header(10)).await.unwrap();
    let whole = &[received(0), Entry::Sealed { at }, ended(422)];
    add(store, key, whole).await;
    assert!(delivering(store).await.is_empty());
    add(store, key, &[Entry::HandoffBegun { at }]).await;
    assert_eq!(delivering(store).await, [key]);
    store.remove(key).await;
    assert!(delivering(store).await.is_empty());
    store.delivered(key).await;
}
