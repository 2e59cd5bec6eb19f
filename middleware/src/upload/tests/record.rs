use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::sample;
use crate::upload::{Entry, Failure, Header, Record, RecordError, Span, State, Timestamp};

use State::{Cancelled, Completed, Finishing, Receiving, Rejected, Undelivered, Unknown};

const STATES: [State; 7] = [
    Receiving,
    Finishing,
    Undelivered,
    Unknown,
    Completed,
    Rejected,
    Cancelled,
];

/// The diagram on the page of `State`, arrow by arrow.
const ARROWS: [(State, State); 18] = [
    (Receiving, Finishing),
    (Finishing, Completed),
    (Finishing, Rejected),
    (Finishing, Undelivered),
    (Finishing, Unknown),
    (Finishing, Receiving),
    (Undelivered, Finishing),
    (Unknown, Finishing),
    (Rejected, Finishing),
    (Undelivered, Receiving),
    (Unknown, Receiving),
    (Rejected, Receiving),
    (Undelivered, Rejected),
    (Unknown, Rejected),
    (Receiving, Cancelled),
    (Undelivered, Cancelled),
    (Unknown, Cancelled),
    (Rejected, Cancelled),
];

fn is_arrow(from: State, to: State) -> bool {
    ARROWS.contains(&(from, to))
}

#[test]
fn moves_are_those_of_the_diagram() {
    for from in STATES {
        for to in STATES {
            assert_eq!(from.may_become(to), is_arrow(from, to), "{from} -> {to}");
        }
        let stays = STATES.into_iter().all(|to| !from.may_become(to));
        assert_eq!(stays, matches!(from, Completed | Cancelled), "{from}");
    }
}

/// An upload as the documentation of its entries tells it.
#[derive(Debug)]
struct Model {
    total: u64,
    held: Vec<Span>,
    /// Received since the last mark, and still held.
    unproven: Vec<Span>,
    proven: bool,
    state: State,
    chunk_size: u64,
    agreed: bool,
    revision: u64,
    attempts: u32,
    in_handoff: bool,
    last_activity: Timestamp,
    ended: Option<Timestamp>,
}

impl Model {
    fn new(header: &Header) -> Self {
        Self {
            total: header.declaration.total,
            held: Vec::new(),
            unproven: Vec::new(),
            proven: true,
            state: Receiving,
            chunk_size: header.limits.chunk_size,
            agreed: false,
            revision: 1,
            attempts: 0,
            in_handoff: false,
            last_activity: header.created,
            ended: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.held.iter().map(|span| span.len).sum::<u64>() == self.total
    }

    fn has(&self, byte: u64) -> bool {
        self.held
            .iter()
            .any(|span| (span.start..span.start + span.len).contains(&byte))
    }

    fn takes(&self, entry: &Entry) -> bool {
        let may_finish = self.is_complete() && is_arrow(self.state, Finishing);
        match *entry {
            Entry::Created(_) => false,
            Entry::Synced => true,
            Entry::ChunkSize { bytes } => {
                self.state == Receiving && self.held.is_empty() && !self.agreed && bytes != 0
            }
            Entry::Received { start, len, .. } => {
                let inside = start.checked_add(len).is_some_and(|end| end <= self.total);
                let free = || (start..start + len).all(|byte| !self.has(byte));
                self.state == Receiving && len != 0 && inside && free()
            }
            Entry::Withdrawn { start, len, .. } => {
                !matches!(self.state, Completed | Cancelled)
                    && self.held.contains(&Span { start, len })
            }
            Entry::Sealed { .. } => may_finish,
            Entry::HandoffBegun { .. } => may_finish || self.state == Finishing,
            Entry::DigestMismatch { .. } => is_arrow(self.state, Rejected),
            Entry::HandoffFailed { .. } | Entry::HandoffEnded { .. } => self.state == Finishing,
            Entry::Cancelled { .. } => is_arrow(self.state, Cancelled),
        }
    }

    fn take(&mut self, entry: &Entry) {
        self.revision += 1;
        self.proven &= !entry.is_promise();
        match entry {
            Entry::Created(_) => {}
            Entry::Synced => (self.unproven, self.proven) = (Vec::new(), true),
            Entry::ChunkSize { bytes } => (self.chunk_size, self.agreed) = (*bytes, true),
            Entry::Received { start, len, at, .. } => {
                let span = Span {
                    start: *start,
                    len: *len,
                };
                self.held.push(span);
                self.unproven.push(span);
                self.last_activity = *at;
            }
            Entry::Withdrawn { start, len, at } => {
                let gone = Span {
                    start: *start,
                    len: *len,
                };
                self.held.retain(|span| *span != gone);
                self.unproven.retain(|span| *span != gone);
                (self.state, self.in_handoff, self.ended) = (Receiving, false, None);
                self.last_activity = *at;
            }
            Entry::Sealed { at } => {
                (self.state, self.last_activity, self.ended) = (Finishing, *at, None);
            }
            Entry::HandoffBegun { .. } => {
                (self.state, self.in_handoff, self.ended) = (Finishing, true, None);
                self.attempts += 1;
            }
            Entry::HandoffFailed { failure, .. } => {
                let known = matches!(failure, Failure::Answered(_) | Failure::Unreadable);
                self.state = if known { Undelivered } else { Unknown };
                self.in_handoff = false;
            }
            Entry::HandoffEnded { answer, at, .. } => {
                let refused = answer.as_ref().is_some_and(|answer| answer.status >= 400);
                self.end(if refused { Rejected } else { Completed }, *at);
            }
            Entry::DigestMismatch { at } => self.end(Rejected, *at),
            Entry::Cancelled { at } => self.end(Cancelled, *at),
        }
    }

    fn end(&mut self, state: State, at: Timestamp) {
        (self.state, self.in_handoff) = (state, false);
        (self.ended, self.last_activity) = (Some(at), at);
    }

    fn assert_same(&self, record: &Record) {
        assert_eq!(record.state, self.state);
        assert_eq!(record.revision, self.revision);
        assert_eq!(record.chunk_size, self.chunk_size);
        assert_eq!(record.chunk_size_agreed, self.agreed);
        assert_eq!(record.attempts, self.attempts);
        assert_eq!(record.in_handoff, self.in_handoff);
        assert_eq!(record.last_activity, self.last_activity);
        assert_eq!(record.ended, self.ended);
        assert_eq!(record.unproven, self.unproven);
        assert_eq!(record.is_proven, self.proven);
        assert_eq!(record.is_complete(), self.is_complete());
        let mut held = self.held.clone();
        held.sort_by_key(|span| span.start);
        assert_eq!(
            record
                .ranges
                .iter()
                .map(|(span, _)| span)
                .collect::<Vec<_>>(),
            held
        );
    }
}

/// Entries about a file of a few chunks of ten bytes, so that many of them fit together.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let at = || (0_u64..100_000).prop_map(Timestamp);
    let span = || {
        prop_oneof![
            8 => (0_u64..4).prop_map(|number| (number * 10, 10)),
            1 => (0_u64..40, 0_u64..12),
            1 => (any::<u64>(), any::<u64>()),
        ]
    };
    let failure = prop_oneof![
        Just(Failure::Answered(sample::answer(503))),
        Just(Failure::TimedOut),
        Just(Failure::Interrupted),
        Just(Failure::Unreadable),
    ];
    let answer = prop_oneof![
        Just(None),
        prop::sample::select(vec![200, 204, 303, 399, 400, 422, 499])
            .prop_map(|status| Some(sample::answer(status))),
    ];
    let sha256 = proptest::option::of(Just("ab".repeat(32)));
    let entry = prop_oneof![
        1 => Just(Entry::Created(sample::header(10))),
        1 => (0_u64..3).prop_map(|tens| Entry::ChunkSize { bytes: tens * 10 }),
        16 => (span(), any::<u32>(), at())
            .prop_map(|((start, len), crc, at)| Entry::Received { start, len, crc, at }),
        3 => (span(), at()).prop_map(|((start, len), at)| Entry::Withdrawn { start, len, at }),
        5 => at().prop_map(|at| Entry::Sealed { at }),
        5 => at().prop_map(|at| Entry::HandoffBegun { at }),
        4 => (failure, at()).prop_map(|(failure, at)| Entry::HandoffFailed { failure, at }),
        2 => (answer, sha256, at()).prop_map(|(answer, sha256, at)| {
            Entry::HandoffEnded { answer, name: None, sha256, at }
        }),
        1 => at().prop_map(|at| Entry::DigestMismatch { at }),
        1 => at().prop_map(|at| Entry::Cancelled { at }),
    ];
    vec(entry, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_record_is_the_fold_of_what_may_follow(chunks in 0_u64..4, entries in entries()) {
        let header = sample::header(chunks * 10);
        let mut record = Record::new(Arc::clone(&header));
        let mut model = Model::new(&header);
        let mut accepted = vec![Entry::Created(header)];
        for entry in entries {
            let before = format!("{record:?}");
            let state = record.state;
            let check = record.check(&entry);
            let applied = record.apply(&entry);
            prop_assert_eq!(check.is_ok(), applied.is_ok(), "{:?}", entry);
            prop_assert_eq!(check.is_ok(), model.takes(&entry), "{:?} {:?}", entry, model);
            if applied.is_err() {
                prop_assert_eq!(format!("{record:?}"), before);
                continue;
            }
            if record.state != state {
                let direct = is_arrow(state, record.state);
                prop_assert!(direct, "{} -> {} by {:?}", state, record.state, entry);
            }
            model.take(&entry);
            model.assert_same(&record);
            accepted.push(entry);
        }
        let replayed = Record::replay(accepted).unwrap();
        prop_assert_eq!(format!("{replayed:?}"), format!("{record:?}"));
    }
}

fn received(start: u64) -> Entry {
    Entry::Received {
        start,
        len: 10,
        crc: 1,
        at: Timestamp(2_000),
    }
}

fn complete(total: u64) -> Record {
    let chunks = (0..total / 10).map(|number| received(number * 10));
    let created = Entry::Created(sample::header(total));
    Record::replay(std::iter::once(created).chain(chunks)).unwrap()
}

#[test]
fn a_log_begins_with_its_header_and_has_one() {
    assert_eq!(Record::replay([]).unwrap_err(), RecordError::Header);
    assert_eq!(
        Record::replay([received(0)]).unwrap_err(),
        RecordError::Header
    );
    let created = || Entry::Created(sample::header(10));
    assert_eq!(
        Record::replay([created(), created()]).unwrap_err(),
        RecordError::Header
    );
    assert_eq!(Record::replay([created()]).unwrap().revision, 1);
}

#[test]
fn a_declared_chunk_size_is_agreed_from_the_start() {
    let mut header = (*sample::header(100)).clone();
    header.declaration.chunk_size = Some(7);
    let mut record = Record::new(Arc::new(header));
    assert_eq!((record.chunk_size, record.chunk_size_agreed), (7, true));
    assert!(record.apply(&Entry::ChunkSize { bytes: 8 }).is_err());
    let record = Record::new(sample::header(100));
    assert_eq!((record.chunk_size, record.chunk_size_agreed), (10, false));
}

#[test]
fn nothing_is_sealed_while_bytes_are_missing() {
    let at = Timestamp(3_000);
    let mut record = complete(20);
    record
        .apply(&Entry::Withdrawn {
            start: 10,
            len: 10,
            at,
        })
        .unwrap();
    let refused = RecordError::Move {
        from: Receiving,
        to: Finishing,
    };
    assert_eq!(record.apply(&Entry::Sealed { at }), Err(refused));
    assert_eq!(record.apply(&Entry::HandoffBegun { at }), Err(refused));
    record.apply(&received(10)).unwrap();
    assert_eq!(record.apply(&Entry::Sealed { at }), Ok(()));
    assert_eq!(record.apply(&received(10)), Err(RecordError::Range));
}

/// Otherwise a file that nobody takes would be kept for ever.
#[test]
fn attempts_to_hand_over_are_no_activity() {
    let mut record = complete(10);
    record
        .apply(&Entry::Sealed {
            at: Timestamp(5_000),
        })
        .unwrap();
    for number in 0..20_u64 {
        let at = Timestamp(10_000 + number);
        record.apply(&Entry::HandoffBegun { at }).unwrap();
        record
            .apply(&Entry::HandoffFailed {
                failure: Failure::Broken,
                at,
            })
            .unwrap();
    }
    assert_eq!(record.attempts, 20);
    assert_eq!(record.last_activity, Timestamp(5_000));
}

#[test]
fn the_outcome_is_kept() {
    let at = Timestamp(9_000);
    let mut record = complete(10);
    let failure = Failure::Answered(sample::answer(503));
    let ended = Entry::HandoffEnded {
        answer: Some(sample::answer(201)),
        name: None,
        sha256: Some("ab".repeat(32)),
        at,
    };
    for entry in [
        Entry::Sealed { at },
        Entry::HandoffBegun { at },
        Entry::HandoffFailed {
            failure: failure.clone(),
            at,
        },
        Entry::HandoffBegun { at },
        ended,
    ] {
        record.apply(&entry).unwrap();
    }
    assert_eq!(record.failure.as_deref(), Some(&failure));
    assert_eq!(record.answer.as_deref(), Some(&sample::answer(201)));
    assert_eq!(record.sha256, Some("ab".repeat(32)));
    assert_eq!(record.duration(Timestamp(99_000)), Duration::from_secs(8));
}

#[test]
fn durations_run_from_create_to_now_until_the_end() {
    let record = complete(10);
    assert_eq!(
        record.duration(Timestamp(4_500)),
        Duration::from_millis(3_500)
    );
    assert_eq!(record.duration(Timestamp(0)), Duration::ZERO);
}

#[test]
fn only_an_answer_or_a_file_it_did_not_get_tells_what_the_handler_did() {
    assert!(!Failure::Answered(sample::answer(500)).is_unknown());
    assert!(!Failure::Unreadable.is_unknown());
    for failure in [
        Failure::TimedOut,
        Failure::Panicked,
        Failure::Broken,
        Failure::Interrupted,
    ] {
        assert!(failure.is_unknown(), "{failure:?}");
    }
}
