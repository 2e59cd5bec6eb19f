use crate::upload::{Durability, Record, State, chunk_gaps, chunk_span, total_chunks};

/// Whatever was folded, a record keeps these.
pub(crate) fn assert_sound(record: &Record) {
    assert_ranges(record);
    let complete = record.is_complete();
    if matches!(record.state, State::Finishing | State::Completed) {
        assert!(complete, "{:?}", record.state);
    }
    assert_eq!(record.ended.is_some(), record.state.is_final());
    assert!(!record.in_handoff || record.state == State::Finishing);
    assert!(record.crc32c.is_none() || record.state == State::Completed);
    assert!(record.revision > 0);
    for span in &record.unproven {
        assert!(record.ranges.piece(*span).is_some());
        assert_eq!(record.header.durability, Durability::Power);
    }
}

/// What is received lies inside of the file, and what is missing can be told in chunks.
pub(crate) fn assert_ranges(record: &Record) {
    let total = record.header.declaration.total;
    let (mut end, mut sum) = (0, 0);
    for (span, _) in record.ranges.iter() {
        assert!(span.len > 0 && span.start >= end);
        end = span.start.checked_add(span.len).unwrap();
        sum += span.len;
    }
    assert!(end <= total);
    assert_eq!(record.ranges.bytes(), sum);
    let missing: u64 = record.ranges.gaps(total).map(|gap| gap.len).sum();
    assert_eq!(sum + missing, total);
    assert!(record.chunk_size > 0, "nothing can be divided by it");
    let chunks = total_chunks(total, record.chunk_size);
    for (first, last) in chunk_gaps(record) {
        assert!(first <= last && last < chunks);
        let span = chunk_span(total, record.chunk_size, last).unwrap();
        assert!(span.len > 0 && span.start + span.len <= total);
    }
}
