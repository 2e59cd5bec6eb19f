#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fuzz::{self, changed, essence, fields, lived};
use super::keys::Keys;
use super::record;
use crate::upload::tests::sample::{answer, header, key};
use crate::upload::{Entry, Failure, Header, Owner, Record, Timestamp};

proptest! {
    #[test]
    fn what_is_told_is_read(bytes in vec(any::<u8>(), 0..200)) {
        fuzz::record(&bytes);
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
