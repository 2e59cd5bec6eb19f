//! An upload that two servers hold belongs to the one that was started later: the other one has an
//! older copy of the directory.

use super::super::{Peer, StoreError};
use super::news::{Answers, with_news};
use super::patient::Patient;
use super::samples::{AT, ended, received};
use super::telling::{Teller, assert_forgets, assert_found};
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

/// Asserts that `one` cannot hand an upload over that `other` keeps.
async fn assert_cannot_claim(one: Patient<'_>, key: UploadKey, peer: &Peer) {
    for _ in 0..2 {
        let (record, log) = one.open(key).await;
        let claimed = log.append(record.revision, &[BEGUN]).await;
        assert_eq!(elsewhere(claimed), *peer);
        let after = one.read(key).await.unwrap();
        assert_eq!((after.revision, after.attempts), (record.revision, 0));
    }
}

/// An upload that `one` told of, and of which `other` told since.
async fn contested<'a>(
    one: Patient<'a>,
    other: Patient<'a>,
    key: UploadKey,
) -> (Teller<'a>, Teller<'a>, Peer) {
    one.create(key, header(20)).await.unwrap();
    let mut losing = Teller::open(one, key).await;
    losing.publish(&[received(0)]).await;
    assert_found(one, other, key, &losing.record).await;
    other.create(key, header(20)).await.unwrap();
    let winning = Teller::open(other, key).await;
    assert_found(other, one, key, &winning.record).await;
    let peer = one.find(key).await.unwrap().peer;
    (losing, winning, peer)
}

pub(super) async fn an_upload_belongs_to_the_server_started_later(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let check = async || {
        let key = key(1);
        let (mut losing, mut winning, peer) = contested(one, other, key).await;
        winning.publish(&[received(10)]).await;
        let rest = [received(10), SEALED];
        losing.add(&rest).await;
        let told = losing.log.publish(&losing.record, &rest).await;
        assert_eq!(elsewhere(told), peer);
        drop(losing);
        for _ in 0..2 {
            let (record, log) = one.open(key).await;
            assert_eq!(elsewhere(log.publish(&record, &[]).await), peer);
            assert_eq!(elsewhere(one.tell(key, &record).await), peer);
        }
        assert_cannot_claim(one, key, &peer).await;

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
        let (mut losing, winning, peer) = contested(one, other, key).await;
        // It has not told of anything since.
        losing.add(&[received(10), SEALED]).await;
        drop(losing);
        assert_cannot_claim(one, key, &peer).await;
        assert_found(other, one, key, &winning.record).await;
    };
    one_after_the_other(one, other, check).await;
}

pub(super) async fn a_loser_takes_nothing_from_the_winner(one: Patient<'_>, other: Patient<'_>) {
    let check = async || {
        let key = key(1);
        let (mut losing, mut winning, peer) = contested(one, other, key).await;
        let lost = [received(10)];
        losing.add(&lost).await;
        let told = losing.log.publish(&losing.record, &lost).await;
        assert_eq!(elsewhere(told), peer);
        drop(losing);
        one.remove(key).await;
        assert_found(other, one, key, &winning.record).await;
        winning
            .publish(&[received(0), received(10), SEALED, BEGUN])
            .await;
        assert_found(other, one, key, &winning.record).await;
        drop(winning);
        assert_forgets(other, one, key).await;
    };
    one_after_the_other(one, other, check).await;
}
