//! What fuzzers try of records in Redis.

#![allow(clippy::unwrap_used, reason = "checks panic")]

use super::record::{self, Held};
use crate::upload::fuzz::{Input, assert_ranges};
use crate::upload::sample::{answer, header};
use crate::upload::{Entry, Failure, Record, Timestamp};

/// What is told of an upload is read, whole and as it changes; and any rubbish in place of it is
/// refused, or makes a record that can be answered with.
pub(crate) fn record(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let entries = likely(&mut input);
    let before = lived(&entries);
    assert_told(&before);
    let mut after = before.clone();
    let mut new = likely(&mut input);
    // The chunk size stands in every change, and comes before all chunks.
    new.retain(|entry| after.apply(entry).is_ok());
    let (told, bits) = changed(&before, &after, &new);
    let read = record::read(&told, &bits).unwrap().record;
    assert_eq!(essence(&read), essence(&after));
    let mut told = fields(&after);
    while !input.is_empty() {
        let at = usize::from(input.byte()) % told.len();
        told[at].1 = input.bytes().to_vec();
        let bits = input.bytes();
        if let Ok(held) = record::read(&told, bits) {
            assert_ranges(&held.record);
        }
    }
}

fn assert_told(record: &Record) {
    let chunks = record::chunks(record, &[]);
    let held = record::read(&fields(record), &chunks).unwrap();
    let Held {
        record: read,
        peer,
        since,
    } = held;
    assert_eq!(essence(&read), essence(record));
    assert_eq!(peer.name, "one");
    assert_eq!(peer.url.as_deref(), Some("http://one.example"));
    assert_eq!(since, Timestamp(5));
}

/// What Redis would hold of a record that was told whole.
pub(super) fn fields(record: &Record) -> Vec<(String, Vec<u8>)> {
    let told = record::all(record, Some("http://one.example"));
    let told = told
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let ours = [
        ("server", "one".to_owned()),
        ("fence", "5".to_owned()),
        ("revision", record.revision.to_string()),
    ];
    let ours = ours.map(|(name, value)| (name.to_owned(), value.into_bytes()));
    told.chain(ours).collect()
}

/// The same, changed by what `new` entries made of `before`.
pub(super) fn changed(
    before: &Record,
    after: &Record,
    new: &[Entry],
) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
    let mut fields = fields(before);
    let revision = ("revision", after.revision.to_string().into_bytes());
    for (name, value) in record::changed(after, new).into_iter().chain([revision]) {
        fields.retain(|(known, _)| known != name);
        fields.push((name.to_owned(), value));
    }
    let mut bits = record::chunks(before, &[]);
    for (chunk, held) in record::changed_chunks(after, new) {
        let chunk = usize::try_from(chunk).unwrap();
        bits.resize(bits.len().max(chunk / 8 + 1), 0);
        let bit = 0x80 >> (chunk % 8);
        match held {
            true => bits[chunk / 8] |= bit,
            false => bits[chunk / 8] &= !bit,
        }
    }
    (fields, bits)
}

/// All of a record that others are told.
pub(super) fn essence(record: &Record) -> String {
    let spans: Vec<_> = record.ranges.iter().map(|(span, _)| span).collect();
    format!(
        "{:?} {:?} {} {} {spans:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?}",
        record.header,
        record.state,
        record.revision,
        record.chunk_size,
        record.last_activity,
        record.ended,
        record.attempts,
        record.failure,
        record.answer,
        record.stored_name,
        record.sha256,
        record.crc32c,
    )
}

/// The record that `entries` lead to, as far as they can follow, in chunks of ten bytes.
pub(super) fn lived(entries: &[Entry]) -> Record {
    let mut record = Record::new(header(30));
    record.apply(&Entry::ChunkSize { bytes: 10 }).unwrap();
    for entry in entries {
        // What cannot follow is left out.
        let _ = record.apply(entry);
    }
    record
}

/// Entries that may follow others of an upload of three chunks.
fn likely(input: &mut Input<'_>) -> Vec<Entry> {
    let count = input.byte() % 24;
    (0..count).map(|_| one(input)).collect()
}

fn one(input: &mut Input<'_>) -> Entry {
    let kind = input.byte();
    let chunk = u64::from(kind >> 4) % 3;
    let (start, len, at) = (chunk * 10, 10, Timestamp(3_000 + chunk));
    let ended = |status| Entry::HandoffEnded {
        answer: Some(answer(status)),
        name: None,
        sha256: Some("ab".repeat(32)),
        at,
    };
    let failed = |failure| Entry::HandoffFailed { failure, at };
    match kind % 16 {
        0 => Entry::Withdrawn { start, len, at },
        1 => Entry::Synced,
        2 | 3 => Entry::Sealed { at },
        4 | 5 => Entry::HandoffBegun { at },
        6 => failed(Failure::TimedOut),
        7 => failed(Failure::Answered(answer(503))),
        8 => ended(201),
        9 => ended(422),
        10 => Entry::DigestMismatch { at },
        11 => Entry::Cancelled { at },
        _ => Entry::Received {
            start,
            len,
            crc: input.number() as u32,
            at,
        },
    }
}
