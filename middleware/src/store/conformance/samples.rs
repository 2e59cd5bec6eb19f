use super::patient::Patient;
use crate::upload::sample::{answer, header};
use crate::upload::{Entry, Failure, Record, Timestamp, UploadKey};

/// When entries were made that say nothing else.
pub(super) const AT: Timestamp = Timestamp(3_000);

/// The reception of 10 bytes.
pub(super) fn received(start: u64) -> Entry {
    Entry::Received {
        start,
        len: 10,
        crc: 7,
        at: Timestamp(2_000 + start),
    }
}

/// The end of an upload by an answer of its handler.
pub(super) fn ended(status: u16) -> Entry {
    Entry::HandoffEnded {
        answer: Some(answer(status)),
        name: None,
        sha256: None,
        at: AT,
    }
}

/// A whole life of an upload of 20 bytes, without its header.
pub(super) fn life() -> Vec<Entry> {
    let at = AT;
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
        ended(201),
    ]
}

/// An upload of 20 bytes with these entries.
pub(super) fn folded(entries: &[Entry]) -> Record {
    let created = Entry::Created(header(20));
    Record::replay(std::iter::once(created).chain(entries.iter().cloned())).unwrap()
}

/// Asserts that an upload of 20 bytes consists of these entries. Opens it.
pub(super) async fn assert_holds(store: Patient<'_>, key: UploadKey, entries: &[Entry]) {
    let expected = format!("{:?}", folded(entries));
    let read = store.read(key).await.unwrap();
    assert_eq!(format!("{read:?}"), expected);
    let (opened, _) = store.open(key).await;
    assert_eq!(format!("{opened:?}"), expected);
}

/// The same, and opens nothing.
pub(super) async fn assert_reads(store: Patient<'_>, key: UploadKey, entries: &[Entry]) {
    let read = store.read(key).await.unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", folded(entries)));
}
