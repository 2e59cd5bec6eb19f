#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::keys::Keys;
use super::record::{self, Held};
use crate::upload::tests::sample::{answer, header, key};
use crate::upload::{Entry, Failure, Header, Owner, Record, Timestamp};

/// What Redis would hold of a record that was told whole.
fn fields(record: &Record) -> Vec<(String, Vec<u8>)> {
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
fn changed(before: &Record, after: &Record, new: &[Entry]) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
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
fn essence(record: &Record) -> String {
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
fn lived(entries: &[Entry]) -> Record {
    let mut record = Record::new(header(30));
    record.apply(&Entry::ChunkSize { bytes: 10 }).unwrap();
    for entry in entries {
        // What cannot follow is left out.
        let _ = record.apply(entry);
    }
    record
}

/// An entry that may follow others of an upload of three chunks.
fn likely() -> impl Strategy<Value = Entry> {
    let at = Timestamp(3_000);
    let ended = |status| Entry::HandoffEnded {
        answer: Some(answer(status)),
        name: None,
        sha256: Some("ab".repeat(32)),
        at,
    };
    let failed = |failure| Entry::HandoffFailed { failure, at };
    prop_oneof![
        6 => (0..3_u64, any::<u32>()).prop_map(move |(chunk, crc)| Entry::Received {
            start: chunk * 10,
            len: 10,
            crc,
            at: Timestamp(at.0 + chunk),
        }),
        1 => (0..3_u64).prop_map(move |chunk| Entry::Withdrawn {
            start: chunk * 10,
            len: 10,
            at,
        }),
        1 => Just(Entry::Synced),
        3 => Just(Entry::Sealed { at }),
        3 => Just(Entry::HandoffBegun { at }),
        1 => Just(failed(Failure::TimedOut)),
        1 => Just(failed(Failure::Answered(answer(503)))),
        1 => Just(ended(201)),
        1 => Just(ended(422)),
        1 => Just(Entry::DigestMismatch { at }),
        1 => Just(Entry::Cancelled { at }),
    ]
}

proptest! {
    #[test]
    fn what_is_told_whole_is_read(entries in vec(likely(), 0..20)) {
        let record = lived(&entries);
        let chunks = record::chunks(&record, &[]);
        let Held { record: read, peer, since } = record::read(&fields(&record), &chunks).unwrap();
        prop_assert_eq!(essence(&read), essence(&record));
        prop_assert_eq!(peer.name, "one");
        prop_assert_eq!(peer.url.as_deref(), Some("http://one.example"));
        prop_assert_eq!(since, Timestamp(5));
    }

    #[test]
    fn what_is_told_as_it_changes_is_read(
        entries in vec(likely(), 0..20),
        new in vec(likely(), 1..4),
    ) {
        let before = lived(&entries);
        let mut after = before.clone();
        let new: Vec<_> = new.into_iter().filter(|entry| after.apply(entry).is_ok()).collect();
        // The chunk size stands in every change, and comes before all chunks.
        let (fields, bits) = changed(&before, &after, &new);
        let read = record::read(&fields, &bits).unwrap().record;
        prop_assert_eq!(essence(&read), essence(&after));
    }

    #[test]
    fn rubbish_is_refused_by_name_and_never_believed(
        entries in vec(likely(), 0..20),
        at in any::<prop::sample::Index>(),
        rubbish in vec(any::<u8>(), 0..40),
        chunks in vec(any::<u8>(), 0..4),
    ) {
        let mut fields = fields(&lived(&entries));
        let at = at.index(fields.len());
        fields[at].1 = rubbish;
        if let Ok(held) = record::read(&fields, &chunks) {
            let total = held.record.header.declaration.total;
            prop_assert!(held.record.ranges.bytes() <= total);
        }
    }
}

#[test]
fn numbers_and_words_are_read_strictly() {
    let good = fields(&lived(&[]));
    let with = |name: &str, value: &str| {
        let mut fields = good.clone();
        fields.retain(|(known, _)| known != name);
        fields.push((name.to_owned(), value.as_bytes().to_vec()));
        record::read(&fields, &[]).map(drop)
    };
    assert_eq!(with("revision", "7"), Ok(()));
    for (name, value) in [
        ("revision", "+7"),
        ("revision", "-1"),
        ("revision", "99999999999999999999"),
        ("revision", ""),
        ("chunk_size", "0"),
        ("state", "done"),
        ("header", "{}"),
        ("active", "now"),
        ("attempts", "4294967296"),
        ("crc32c", "4294967296"),
        ("name", "../x"),
        ("answer", "[]"),
        ("server", ""),
    ] {
        assert_eq!(with(name, value), Err(name), "{value:?}");
    }
    // A bit behind the last chunk, and a byte behind the last bit.
    assert!(record::read(&good, &[0b1110_0000]).is_ok());
    assert_eq!(record::read(&good, &[0b0001_0000]).map(drop), Err("chunks"));
    assert_eq!(record::read(&good, &[0, 0]).map(drop), Err("chunks"));
}

#[test]
fn what_may_be_lost_in_a_power_cut_is_not_told() {
    let at = Timestamp(2_000);
    let received = |start| Entry::Received {
        start,
        len: 10,
        crc: 1,
        at,
    };
    let record = lived(&[received(0), Entry::Synced, received(20)]);
    assert_eq!(record::chunks(&record, &[]), [0b1010_0000]);
    let told = record::chunks(&record, record::unproven(&record));
    assert_eq!(told, [0b1000_0000]);
}

#[test]
fn an_answer_that_came_after_a_failure_is_told_without_it() {
    let at = Timestamp(2_000);
    let received = [0, 10, 20].map(|start| Entry::Received {
        start,
        len: 10,
        crc: 1,
        at,
    });
    let failed = Entry::HandoffFailed {
        failure: Failure::TimedOut,
        at,
    };
    let begun = Entry::HandoffBegun { at };
    let before: Vec<_> = received
        .into_iter()
        .chain([Entry::Sealed { at }, begun.clone(), failed])
        .collect();
    let before = lived(&before);
    let ended = Entry::HandoffEnded {
        answer: Some(answer(201)),
        name: None,
        sha256: None,
        at,
    };
    let mut after = before.clone();
    after.apply(&begun).unwrap();
    after.apply(&ended).unwrap();
    let (fields, bits) = changed(&before, &after, &[begun, ended]);
    let read = record::read(&fields, &bits).unwrap().record;
    assert_eq!(essence(&read), essence(&after));
}

#[test]
fn forwarded_headers_are_not_told() {
    let mut header = Header::clone(&header(30));
    header.declaration.headers = vec![("authorization".to_owned(), "Bearer abc".to_owned())];
    let told = fields(&Record::new(Arc::new(header)));
    let text = format!(
        "{:?}",
        told.iter()
            .map(|(_, value)| String::from_utf8_lossy(value))
            .collect::<Vec<_>>()
    );
    assert!(
        text.contains("data.bin") && !text.contains("Bearer"),
        "{text}"
    );
}

#[test]
fn nothing_a_client_sent_stands_in_a_name() {
    let keys = Keys::new("steadfast");
    let owner = Owner("a b\r\n{x}:*".to_owned());
    let names = [
        keys.owner(&owner),
        keys.upload(key(1)),
        keys.chunks(key(1)),
        keys.maker(key(1)),
    ];
    for name in &names {
        let plain = |c: char| c.is_ascii_alphanumeric() || ":{}_-".contains(c);
        assert!(name.chars().all(plain), "{name}");
        assert!(name.starts_with("steadfast:"), "{name}");
    }
    let tag = format!("{{{}}}", key(1));
    assert!(names[1].contains(&tag) && names[2].contains(&tag));
    assert_ne!(keys.owner(&owner), keys.owner(&Owner::default()));
}
