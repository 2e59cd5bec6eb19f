//! What fuzzers try of the log.

#![allow(clippy::unwrap_used, reason = "checks panic")]

use super::format::{self, PREFIX_LEN, Parsed, Salt};
use crate::upload::fuzz::{Input, assert_sound, entry};
use crate::upload::{Entry, Record};

/// Any bytes are read, and what is believed of them makes a sound record. Where the first byte is odd
/// the rest is payloads, each behind its length, and their checks are right.
pub(crate) fn recovery(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.byte().is_multiple_of(2) {
        let rest = input.rest();
        let salt = format::read_prefix(rest).unwrap_or_default();
        fold(format::parse(rest, &salt), rest.len());
        return;
    }
    let salt = [input.byte(); 16];
    let mut log = format::prefix(salt);
    while !input.is_empty() {
        let len = usize::from(input.byte()) << 8 | usize::from(input.byte());
        let payload = input.exactly(len);
        format::push_payload(&mut log, &salt, 0, payload).unwrap();
    }
    fold(format::parse(&log, &salt), log.len());
}

fn fold(parsed: Parsed, len: usize) {
    assert!((PREFIX_LEN..=len.max(PREFIX_LEN)).contains(&(parsed.len as usize)));
    if let Ok(record) = Record::replay(parsed.entries) {
        assert_sound(&record);
    }
}

/// Entries are read as they were written, wherever the log is cut: only what is cut is missing.
pub(crate) fn round_trip(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (cut, flip) = (input.number(), input.byte());
    let salt = [input.byte(); 16];
    let (mut log, mut entries, mut ends) = (format::prefix(salt), Vec::new(), Vec::new());
    while !input.is_empty() && entries.len() < 64 {
        let entry = entry(&mut input);
        format::push_frame(&mut log, &salt, 0, &entry).unwrap();
        entries.push(entry);
        ends.push(log.len());
    }
    let whole = format::parse(&log, &salt);
    assert_eq!((&whole.entries, whole.damaged), (&entries, false));
    assert_eq!(whole.len, log.len() as u64);
    if let Ok(record) = Record::replay(whole.entries) {
        assert_sound(&record);
    }
    let behind = (log.len() - PREFIX_LEN) as u64 + 1;
    let cut = PREFIX_LEN + usize::try_from(cut % behind).unwrap();
    assert_torn(&log[..cut], &salt, &entries, &ends);
    assert_flipped(log, cut, flip | 1, &salt, &entries, &ends);
}

/// A log that ends in the middle of a frame, or of none.
fn assert_torn(log: &[u8], salt: &Salt, entries: &[Entry], ends: &[usize]) {
    let left = ends.iter().filter(|end| **end <= log.len()).count();
    let parsed = format::parse(log, salt);
    assert_eq!(parsed.entries, entries[..left]);
    let end = left.checked_sub(1).map_or(PREFIX_LEN, |last| ends[last]);
    assert_eq!(parsed.len, end as u64);
    assert!(!parsed.damaged);
}

/// A log of which one byte has changed.
fn assert_flipped(
    mut log: Vec<u8>,
    at: usize,
    by: u8,
    salt: &Salt,
    entries: &[Entry],
    ends: &[usize],
) {
    let Some(byte) = log.get_mut(at) else {
        return;
    };
    *byte ^= by;
    let before = ends.iter().filter(|end| **end <= at).count();
    let parsed = format::parse(&log, salt);
    assert_eq!(parsed.entries, entries[..before]);
    let is_marked = entries[before + 1..].contains(&Entry::Synced);
    assert!(parsed.damaged || !is_marked, "a mark stands behind it");
}
