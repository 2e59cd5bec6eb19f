//! What one server tells of its uploads another one finds.

use std::time::{Duration, SystemTime};

use super::news::{Answers, with_news};
use super::patient::{PAUSE, Patient, PatientLog};
use super::samples::{AT, ended, folded, life, received};
use crate::upload::sample::{answer, header, key};
use crate::upload::{Entry, FileName, Record, Timestamp, UploadKey};

/// How often an upload is removed before it is found no more.
const REMOVALS_MAX: usize = 10;
/// How often it is looked whether a server was seen.
const LOOKS_MAX: usize = 50;

/// Everything of a record that is told. Of the pieces it is the bytes that they cover.
fn told(record: &Record) -> String {
    let missing: Vec<_> = record
        .ranges
        .gaps(record.header.declaration.total)
        .collect();
    let stands = (record.state, record.attempts, record.chunk_size);
    let when = (record.last_activity, record.ended);
    let outcome = (
        &record.answer,
        &record.failure,
        &record.stored_name,
        &record.sha256,
        record.crc32c,
    );
    let bytes = (record.ranges.bytes(), missing);
    format!("{:#?}", (&record.header, stands, when, outcome, bytes))
}

/// Asserts that `finder` finds an upload as `keeper` told of it, which finds nothing of its own.
pub(super) async fn assert_found(
    keeper: Patient<'_>,
    finder: Patient<'_>,
    key: UploadKey,
    record: &Record,
) {
    let found = finder.find(key).await.expect("what was told");
    assert_eq!(told(&found.record), told(record));
    assert!(keeper.find(key).await.is_none(), "nothing of its own");
}

/// Removes an upload until it is found no more: where the others cannot be reached it is found for
/// some time, and no error is made of that.
pub(super) async fn assert_forgets(keeper: Patient<'_>, finder: Patient<'_>, key: UploadKey) {
    for _ in 0..REMOVALS_MAX {
        keeper.remove(key).await;
        if finder.find(key).await.is_none() {
            return;
        }
    }
    panic!("a removed upload is still found");
}

/// An open upload that is told of.
pub(super) struct Teller<'a> {
    pub(super) record: Record,
    pub(super) log: PatientLog<'a>,
}

impl<'a> Teller<'a> {
    /// Opens an upload and tells of it.
    pub(super) async fn open(store: Patient<'a>, key: UploadKey) -> Self {
        let (record, log) = store.open(key).await;
        log.publish(&record, &[]).await.unwrap();
        Self { record, log }
    }

    /// Adds entries and tells nobody.
    pub(super) async fn add(&mut self, entries: &[Entry]) {
        self.log
            .append(self.record.revision, entries)
            .await
            .unwrap();
        self.log.flush().await;
        for entry in entries {
            self.record.apply(entry).unwrap();
        }
    }

    /// Adds entries and tells of them.
    pub(super) async fn publish(&mut self, entries: &[Entry]) {
        self.add(entries).await;
        self.log.publish(&self.record, entries).await.unwrap();
    }
}

/// Lives of uploads of 20 bytes with all ends there are.
fn lives() -> Vec<Vec<Entry>> {
    let whole = |end: &[Entry]| {
        let begun = [received(0), received(10), Entry::Sealed { at: AT }];
        [&begun, end].concat()
    };
    let begun = Entry::HandoffBegun { at: AT };
    let stored = Entry::HandoffEnded {
        answer: None,
        name: FileName::parse("däta.bin").ok(),
        sha256: Some("0f".repeat(32)),
        at: AT,
    };
    let mut long = answer(200);
    long.body = (0..=255).cycle().take(64 << 10).collect();
    long.truncated = true;
    let long = Entry::HandoffEnded {
        answer: Some(long),
        name: None,
        sha256: None,
        at: AT,
    };
    vec![
        life(),
        whole(&[begun.clone(), ended(422)]),
        whole(&[begun.clone(), stored]),
        whole(&[begun, long]),
        whole(&[Entry::DigestMismatch { at: AT }]),
        vec![received(10), Entry::Cancelled { at: AT }],
    ]
}

pub(super) async fn what_one_publishes_the_other_finds(one: Patient<'_>, other: Patient<'_>) {
    let answers = Answers::default();
    let tells = async |keeper: Patient<'_>, finder, key, life: Vec<Entry>| {
        keeper.create(key, header(20)).await.unwrap();
        let mut upload = Teller::open(keeper, key).await;
        assert_found(keeper, finder, key, &upload.record).await;
        for entry in life {
            upload.publish(&[entry]).await;
            assert_found(keeper, finder, key, &upload.record).await;
        }
    };
    let check = async {
        for (number, life) in (1..).step_by(2).zip(lives()) {
            tells(one, other, key(number), life.clone()).await;
            tells(other, one, key(number + 1), life).await;
        }
        assert!(one.find(key(99)).await.is_none(), "what nobody told");
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn what_was_not_published_at_once_is_told_with_the_next(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let answers = Answers::default();
    let piece = |start| Entry::Received {
        start,
        len: 20,
        crc: 7,
        at: AT,
    };
    let check = async {
        one.create(key(1), header(40)).await.unwrap();
        let mut upload = Teller::open(one, key(1)).await;
        upload.add(&[Entry::ChunkSize { bytes: 20 }]).await;
        upload.publish(&[piece(20)]).await;
        assert_found(one, other, key(1), &upload.record).await;
        // Whoever opens an upload does not know what was told of it.
        upload.add(&[piece(0)]).await;
        drop(upload);
        let mut upload = Teller::open(one, key(1)).await;
        assert_found(one, other, key(1), &upload.record).await;
        upload.add(&[Entry::Sealed { at: AT }]).await;
        upload.publish(&[Entry::HandoffBegun { at: AT }]).await;
        assert_found(one, other, key(1), &upload.record).await;
        upload.add(&[ended(201)]).await;
        upload.log.publish(&upload.record, &[]).await.unwrap();
        assert_found(one, other, key(1), &upload.record).await;
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn what_is_told_of_an_upload_that_is_not_open_is_proven(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let answers = Answers::default();
    let proven = [received(0), Entry::Synced];
    let claimed = [&proven[..], &[received(10)]].concat();
    let check = async {
        one.create(key(1), header(20)).await.unwrap();
        let (record, log) = one.open(key(1)).await;
        log.append(record.revision, &claimed).await.unwrap();
        drop(log);
        one.tell(key(1), &folded(&claimed)).await.unwrap();
        let found = other.find(key(1)).await.expect("what was told").record;
        let missing: Vec<_> = found.ranges.gaps(20).map(|gap| gap.start).collect();
        assert_eq!((found.ranges.bytes(), missing), (10, vec![10]));

        let all = [&claimed[..], &[Entry::Synced]].concat();
        let (record, log) = one.open(key(1)).await;
        log.append(record.revision, &[Entry::Synced]).await.unwrap();
        drop(log);
        for _ in 0..2 {
            one.tell(key(1), &folded(&all)).await.unwrap();
            assert_found(one, other, key(1), &folded(&all)).await;
        }
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn a_removed_upload_is_found_no_more(one: Patient<'_>, other: Patient<'_>) {
    let answers = Answers::default();
    let check = async {
        for total in [20, 30] {
            one.create(key(1), header(total)).await.unwrap();
            let mut upload = Teller::open(one, key(1)).await;
            // Made anew, it has fewer entries than before.
            for start in [0, 10].into_iter().take(if total == 20 { 2 } else { 1 }) {
                upload.publish(&[received(start)]).await;
            }
            assert_found(one, other, key(1), &upload.record).await;
            drop(upload);
            assert_forgets(one, other, key(1)).await;
            one.remove(key(1)).await;
            for server in [one, other] {
                assert!(server.find(key(1)).await.is_none());
            }
        }
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn uploads_are_found_apart(one: Patient<'_>, other: Patient<'_>) {
    let answers = Answers::default();
    let check = async {
        for number in 1..=3 {
            one.create(key(number), header(20)).await.unwrap();
            Teller::open(one, key(number)).await;
        }
        let mut second = Teller::open(one, key(2)).await;
        second.publish(&[received(0), received(10)]).await;
        assert_forgets(one, other, key(1)).await;
        assert_found(one, other, key(2), &second.record).await;
        assert_found(one, other, key(3), &folded(&[])).await;
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn a_server_is_seen_by_the_others(one: Patient<'_>, other: Patient<'_>) {
    let answers = Answers::default();
    let check = async {
        // It is told in whole seconds.
        let begun = Timestamp::from(SystemTime::now()).before(Duration::from_secs(1));
        one.create(key(1), header(20)).await.unwrap();
        Teller::open(one, key(1)).await;
        let told = other.find(key(1)).await.unwrap();
        let name = told.peer.name.as_str();
        for _ in 0..LOOKS_MAX {
            if other.seen(name).await.is_some_and(|seen| seen.at > begun) {
                assert_eq!(other.seen("nobody").await, None);
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("the server {name} is not seen");
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}
