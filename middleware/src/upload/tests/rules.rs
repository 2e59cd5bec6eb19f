use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::sample;
use crate::upload::{
    Deadlines, Entry, Failure, Record, Timestamp, Verdict, chunk_gaps, chunk_span, retry_delay,
    total_chunks, verdict,
};

proptest! {
    #[test]
    fn chunks_cover_the_file_once(total in 0_u64..5_000, chunk_size in 1_u64..700) {
        let count = total_chunks(total, chunk_size);
        let mut end = 0;
        for number in 0..count {
            let span = chunk_span(total, chunk_size, number).unwrap();
            prop_assert_eq!(span.start, end);
            prop_assert!(span.len > 0 && span.len <= chunk_size);
            prop_assert!(span.len == chunk_size || number == count - 1);
            end = span.end();
        }
        prop_assert_eq!(end, total);
        prop_assert_eq!(chunk_span(total, chunk_size, count), None);
        prop_assert_eq!(chunk_span(total, chunk_size, u64::MAX), None);
    }

    #[test]
    fn gaps_are_the_chunks_that_are_missing(
        total in 1_u64..400,
        chunk_size in 1_u64..30,
        held in vec(any::<bool>(), 400),
    ) {
        let mut record = Record::new(sample::header(total));
        record.apply(&Entry::ChunkSize { bytes: chunk_size }).unwrap();
        let mut missing = Vec::new();
        for number in 0..total_chunks(total, chunk_size) {
            let span = chunk_span(total, chunk_size, number).unwrap();
            if !held[number as usize] {
                missing.push(number);
                continue;
            }
            let (start, len) = (span.start, span.len);
            let at = Timestamp(2_000);
            record.apply(&Entry::Received { start, len, crc: 0, at }).unwrap();
        }
        let gaps: Vec<_> = chunk_gaps(&record).collect();
        let listed: Vec<u64> = gaps.iter().flat_map(|&(first, last)| first..=last).collect();
        prop_assert_eq!(&listed, &missing);
        // Maximal: no two of them touch.
        prop_assert!(gaps.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", gaps);
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let max = i64::MAX as u64;
    assert_eq!(total_chunks(max, 1), max);
    assert_eq!(total_chunks(0, 7), 0);
    let last = chunk_span(max, 10, max / 10).unwrap();
    assert_eq!((last.end(), last.len), (max, 7));
    let record = Record::new(sample::header(max));
    assert_eq!(chunk_gaps(&record).collect::<Vec<_>>(), [(0, max / 10)]);
}

#[test]
fn the_wait_before_an_attempt_doubles_from_1_s_to_5_min() {
    let seconds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
    for (attempts, seconds) in (1..).zip(seconds) {
        assert_eq!(
            retry_delay(attempts),
            Duration::from_secs(seconds),
            "{attempts}"
        );
    }
    assert_eq!(retry_delay(0), Duration::from_secs(1));
    for attempts in [17, 18, 40, 1_000, u32::MAX] {
        assert_eq!(
            retry_delay(attempts),
            Duration::from_secs(300),
            "{attempts}"
        );
    }
}

#[test]
fn seven_kinds_of_status_ask_to_be_asked_again() {
    for status in 100..=599 {
        let again = status >= 500 || [404, 405, 408, 421, 425, 429].contains(&status);
        let expected = if again {
            Verdict::AskAgain
        } else {
            Verdict::Decided
        };
        assert_eq!(verdict(status), expected, "{status}");
    }
}

const DEADLINES: Deadlines = Deadlines {
    unfinished: Duration::from_secs(100),
    first_byte: Duration::from_secs(10),
    finished: Duration::from_secs(1_000),
    now: Timestamp(u64::MAX),
    since: Timestamp(0),
};

fn secs(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

/// Created at 1 s; each entry moves the expiry as the table says.
#[test]
fn an_upload_expires_by_what_happened_last() {
    let mut record = Record::new(sample::header(20));
    assert_eq!(DEADLINES.expiry(&record), secs(11), "no byte yet");
    let received = |start, at| Entry::Received {
        start,
        len: 10,
        crc: 0,
        at: secs(at),
    };
    let failed = |at| Entry::HandoffFailed {
        failure: Failure::TimedOut,
        at: secs(at),
    };
    let ended = |at| Entry::HandoffEnded {
        answer: Some(sample::answer(422)),
        name: None,
        sha256: None,
        at: secs(at),
    };
    let table = [
        (received(0, 5), 105),
        (received(10, 50), 150),
        (Entry::Sealed { at: secs(60) }, 160),
        (Entry::HandoffBegun { at: secs(61) }, 160),
        (failed(70), 160),
        (Entry::HandoffBegun { at: secs(71) }, 160),
        (ended(80), 1_080),
        // Handed over again, by hand: it is unfinished once more.
        (Entry::HandoffBegun { at: secs(90) }, 180),
        (failed(91), 180),
        (Entry::Cancelled { at: secs(92) }, 1_092),
    ];
    for (entry, expiry) in table {
        record.apply(&entry).unwrap();
        assert_eq!(DEADLINES.expiry(&record), secs(expiry), "after {entry:?}");
    }
}

#[test]
fn waiting_for_the_first_byte_is_never_longer_than_waiting_for_the_next() {
    let record = Record::new(sample::header(20));
    let deadlines = Deadlines {
        first_byte: Duration::from_secs(500),
        ..DEADLINES
    };
    assert_eq!(deadlines.expiry(&record), secs(101));
    let for_ever = Deadlines {
        unfinished: Duration::MAX,
        first_byte: Duration::MAX,
        ..DEADLINES
    };
    assert_eq!(for_ever.expiry(&record), Timestamp(u64::MAX));
}

/// Agreeing on a chunk size is not a byte.
#[test]
fn an_agreed_chunk_size_does_not_prolong_the_wait_for_the_first_byte() {
    let mut record = Record::new(sample::header(20));
    record.apply(&Entry::ChunkSize { bytes: 5 }).unwrap();
    assert_eq!(DEADLINES.expiry(&record), secs(11));
}

/// Bytes withdrawn may leave nothing; the client then has as long as anybody else.
#[test]
fn withdrawn_bytes_leave_an_upload_that_waits_for_its_first() {
    let mut record = Record::new(sample::header(10));
    let at = secs(5);
    record
        .apply(&Entry::Received {
            start: 0,
            len: 10,
            crc: 0,
            at,
        })
        .unwrap();
    record
        .apply(&Entry::Withdrawn {
            start: 0,
            len: 10,
            at: secs(50),
        })
        .unwrap();
    assert!(
        DEADLINES.expiry(&record) > secs(50),
        "it had no chance to be sent again"
    );
}

/// Whatever the clock did, what is here has an hour, or the time it is kept at all.
#[test]
fn nothing_expires_soon_after_the_clock_was_set() {
    const HOUR: u64 = 3_600;
    let set_at = |since: u64, keep: u64| Deadlines {
        unfinished: Duration::from_secs(keep),
        first_byte: Duration::from_secs(keep / 2),
        now: secs(since + 1),
        since: secs(since),
        ..DEADLINES
    };
    let later = 1_800_000_000;
    let untouched = Record::new(sample::header(20));
    let mut begun = Record::new(sample::header(20));
    let received = |start, at| Entry::Received {
        start,
        len: 10,
        crc: 0,
        at,
    };
    begun.apply(&received(0, secs(5))).unwrap();
    for (keep, grace) in [(100, 100), (24 * HOUR, HOUR)] {
        let deadlines = set_at(later, keep);
        assert_eq!(deadlines.expiry(&begun), secs(later + grace));
        assert!(!deadlines.has_expired(&begun));
        let first_byte = (keep / 2).min(HOUR);
        assert_eq!(deadlines.expiry(&untouched), secs(later + first_byte));
    }
    // What happens from there on is kept as ever.
    begun.apply(&received(10, secs(later + 7))).unwrap();
    let deadlines = Deadlines {
        now: secs(later + 9),
        ..set_at(later, 24 * HOUR)
    };
    assert_eq!(deadlines.expiry(&begun), secs(later + 7 + 24 * HOUR));
}

/// A clock that ran ahead and was set back: what it wrote then is not kept for years.
#[test]
fn what_happened_in_the_future_happened_before_the_clock_was_set() {
    let mut record = Record::new(sample::header(20));
    let (right, wrong) = (1_000_000, 1_800_000_000);
    record.apply(&Entry::ChunkSize { bytes: 10 }).unwrap();
    record
        .apply(&Entry::Received {
            start: 0,
            len: 10,
            crc: 0,
            at: secs(wrong),
        })
        .unwrap();
    let deadlines = Deadlines {
        now: secs(right + 50),
        since: secs(right),
        ..DEADLINES
    };
    assert_eq!(deadlines.expiry(&record), secs(right + 100));
    // A moment ago, by the time the question is asked.
    for ahead in [0, 60] {
        let deadlines = Deadlines {
            now: secs(wrong - ahead),
            ..deadlines
        };
        assert_eq!(deadlines.expiry(&record), secs(wrong + 100));
    }
}
