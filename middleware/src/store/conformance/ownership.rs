//! An upload that two servers hold belongs to the one that was started later: the other one has an
//! older copy of the directory.

use super::super::{Peer, StoreError};
use super::news::{Answers, with_news};
use super::patient::Patient;
use super::samples::{AT, ended, received};
use super::telling::{Teller, assert_found};
use crate::upload::sample::{header, key};
use crate::upload::{Entry, UploadKey};

const SEALED: Entry = Entry::Sealed { at: AT };
const BEGUN: Entry = Entry::HandoffBegun { at: AT };

fn elsewhere(answer: Result<(), StoreError>) -> Peer {
    match answer {
        Err(StoreError::Elsewhere(peer)) => peer,
        other => panic!("it belongs to another server: {other:?}"),
    }
}

/// Does `check` when both are heard of, `one` before `other`.
async fn one_after_the_other(one: Patient<'_>, other: Patient<'_>, check: impl AsyncFnOnce()) {
    let answers = Answers::default();
    let check = async {
        one.create(key(99), header(20)).await.unwrap();
        Teller::open(one, key(99)).await;
        with_news(other.0, &answers, check()).await;
    };
    with_news(one.0, &answers, check).await;
}

async fn create_on_both(one: Patient<'_>, other: Patient<'_>, key: UploadKey) {
    one.create(key, header(20)).await.unwrap();
    other.create(key, header(20)).await.unwrap();
}

/// Asserts that `one` cannot tell of an upload that `other` keeps, nor hand it over.
async fn assert_lost(one: Patient<'_>, key: UploadKey, peer: &Peer) {
    for _ in 0..2 {
        let (record, log) = one.open(key).await;
        assert_eq!(elsewhere(log.publish(&record, &[]).await), *peer);
        assert_eq!(
            elsewhere(log.append(record.revision, &[BEGUN]).await),
            *peer
        );
        let after = one.read(key).await.unwrap();
        assert_eq!((after.revision, after.attempts), (record.revision, 0));
    }
    let record = one.read(key).await.unwrap();
    assert_eq!(elsewhere(one.tell(key, &record).await), *peer);
}

pub(super) async fn an_upload_belongs_to_the_server_started_later(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let check = async || {
        let key = key(1);
        create_on_both(one, other, key).await;
        let mut losing = Teller::open(one, key).await;
        losing.publish(&[received(0)]).await;
        assert_found(one, other, key, &losing.record).await;

        let mut winning = Teller::open(other, key).await;
        winning.publish(&[received(10)]).await;
        assert_found(other, one, key, &winning.record).await;
        let peer = one.find(key).await.unwrap().peer;

        let rest = [received(10), SEALED];
        losing.add(&rest).await;
        let told = losing.log.publish(&losing.record, &rest).await;
        assert_eq!(elsewhere(told), peer);
        drop(losing);
        assert_lost(one, key, &peer).await;

        assert_found(other, one, key, &winning.record).await;
        winning.publish(&[received(0), SEALED]).await;
        for entry in [BEGUN, ended(201)] {
            winning.publish(&[entry]).await;
            assert_found(other, one, key, &winning.record).await;
        }
    };
    one_after_the_other(one, other, check).await;
}

pub(super) async fn whoever_has_an_upload_no_more_cannot_claim_it(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let check = async || {
        let key = key(1);
        create_on_both(one, other, key).await;
        let mut losing = Teller::open(one, key).await;
        losing.publish(&[received(0), received(10), SEALED]).await;
        let winning = Teller::open(other, key).await;
        let peer = one.find(key).await.unwrap().peer;
        // It has not told of anything since.
        let claimed = losing.log.append(losing.record.revision, &[BEGUN]).await;
        assert_eq!(elsewhere(claimed), peer);
        drop(losing);
        assert_lost(one, key, &peer).await;
        assert_found(other, one, key, &winning.record).await;
    };
    one_after_the_other(one, other, check).await;
}

pub(super) async fn a_loser_takes_nothing_from_the_winner(one: Patient<'_>, other: Patient<'_>) {
    let check = async || {
        let key = key(1);
        create_on_both(one, other, key).await;
        let mut winning = Teller::open(other, key).await;
        winning.publish(&[received(0)]).await;
        let (record, log) = one.open(key).await;
        let peer = elsewhere(log.publish(&record, &[]).await);
        assert_eq!(one.find(key).await.unwrap().peer, peer);
        drop(log);
        one.remove(key).await;
        assert_found(other, one, key, &winning.record).await;
        let rest = [received(10), SEALED, BEGUN];
        winning.publish(&rest).await;
        assert_found(other, one, key, &winning.record).await;
        drop(winning);
        other.remove(key).await;
        assert!(one.find(key).await.is_none());
    };
    one_after_the_other(one, other, check).await;
}
