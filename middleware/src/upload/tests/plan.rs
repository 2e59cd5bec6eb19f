use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::sample;
use crate::upload::{
    Entry, Header, Limits, Piece, Plan, Record, Span, State, Target, Timestamp, Violation,
    plan_append,
};

/// A request and the upload it is for.
#[derive(Clone, Debug)]
struct Case {
    record: Record,
    number: u64,
    length: Option<u64>,
    in_flight: bool,
}

impl Case {
    fn plan(&self) -> Result<Plan, Violation> {
        let target = Target::Chunk {
            number: self.number,
            length: self.length,
        };
        plan_append(&self.record, target, self.in_flight)
    }
}

/// The chunks of a file, cut off one by one.
fn cut(total: u64, chunk_size: u64) -> Vec<Span> {
    let (mut chunks, mut start) = (Vec::new(), 0);
    while start < total {
        let len = if total - start < chunk_size {
            total - start
        } else {
            chunk_size
        };
        chunks.push(Span { start, len });
        start += len;
    }
    chunks
}

/// The rules again, as the protocol states them.
fn expected(case: &Case) -> Result<Plan, Violation> {
    let record = &case.record;
    let Header {
        declaration,
        limits,
        ..
    } = &*record.header;
    if record.state == State::Cancelled {
        return Err(Violation::Cancelled);
    }
    let chunks = cut(declaration.total, record.chunk_size);
    let Some(&chunk) = chunks.get(case.number as usize) else {
        return Err(Violation::ChunkRange {
            total_chunks: chunks.len() as u64,
        });
    };
    if case.length.is_none_or(|length| length == chunk.len) {
        let held = record.ranges.iter().find(|(span, _)| *span == chunk);
        return match held {
            Some((span, held)) => Ok(Plan::Duplicate { span, held }),
            None => Ok(Plan::Write {
                span: chunk,
                adopt: None,
            }),
        };
    }
    let length = case.length.unwrap_or_default();
    let may_choose = declaration.chunk_size.is_none() && !record.chunk_size_agreed;
    let nothing_yet = record.ranges.bytes() == 0 && !case.in_flight;
    let fits = length >= limits.chunk_size_min
        && length <= limits.chunk_size_max
        && length < declaration.total;
    if case.number == 0 && may_choose && nothing_yet && fits {
        return Ok(Plan::Write {
            span: Span {
                start: 0,
                len: length,
            },
            adopt: Some(length),
        });
    }
    Err(Violation::ChunkLength {
        expected: chunk.len,
    })
}

fn received(span: Span) -> Entry {
    Entry::Received {
        start: span.start,
        len: span.len,
        crc: 7,
        at: Timestamp(2_000),
    }
}

/// Entries that lead a complete upload to each of its later states.
fn ends() -> impl Strategy<Value = Vec<Entry>> {
    let at = Timestamp(3_000);
    let begun = || vec![Entry::Sealed { at }, Entry::HandoffBegun { at }];
    let and = |mut entries: Vec<Entry>, entry| {
        entries.push(entry);
        entries
    };
    let failed = |failure| Entry::HandoffFailed { failure, at };
    let answered = |status| Entry::HandoffEnded {
        answer: Some(sample::answer(status)),
        name: None,
        sha256: None,
        at,
    };
    prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(begun()),
        1 => Just(and(begun(), failed(crate::upload::Failure::Answered(sample::answer(503))))),
        1 => Just(and(begun(), failed(crate::upload::Failure::TimedOut))),
        1 => Just(and(begun(), answered(200))),
        1 => Just(and(begun(), answered(422))),
        1 => Just(vec![Entry::Cancelled { at }]),
    ]
}

prop_compose! {
    fn any_record()(
        total in 0_u64..70,
        chunk_size in 1_u64..24,
        bounds in (1_u64..24, 1_u64..24),
        declared in option::weighted(0.2, 1_u64..24),
        adopted in option::weighted(0.2, 1_u64..24),
        held in vec(any::<bool>(), 70),
        all in prop::bool::weighted(0.3),
        none in prop::bool::weighted(0.3),
        end in ends(),
    ) -> Record {
        let mut declaration = sample::declaration(total);
        declaration.chunk_size = declared;
        let (chunk_size_min, chunk_size_max) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let limits = Limits { chunk_size, chunk_size_min, chunk_size_max };
        let header = Header { declaration, limits, ..(*sample::header(total)).clone() };
        let mut record = Record::new(Arc::new(header));
        if let Some(bytes) = adopted {
            // Not where create named a chunk size.
            let _ = record.apply(&Entry::ChunkSize { bytes });
        }
        let chunks = cut(total, record.chunk_size);
        for (span, _) in chunks.into_iter().zip(held).filter(|(_, held)| all || (*held && !none)) {
            record.apply(&received(span)).unwrap();
        }
        // Only complete uploads come further.
        for entry in &end {
            let _ = record.apply(entry);
        }
        record
    }
}

prop_compose! {
    fn any_case()(
        record in any_record(),
        number in prop_oneof![3 => Just(0), 4 => 0_u64..8, 1 => any::<u64>()],
        length in option::of(prop_oneof![6 => 0_u64..30, 1 => any::<u64>()]),
        exact in prop::bool::weighted(0.4),
        in_flight in any::<bool>(),
    ) -> Case {
        let chunks = cut(record.header.declaration.total, record.chunk_size);
        let chunk = chunks.get(number as usize).filter(|_| exact);
        Case { length: chunk.map(|chunk| chunk.len).or(length), record, number, in_flight }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn requests_are_planned_by_the_rules_of_the_protocol(case in any_case()) {
        prop_assert_eq!(case.plan(), expected(&case), "{:?}", case);
    }

    #[test]
    fn an_accepted_plan_leads_to_entries_the_record_takes(case in any_case()) {
        let Ok(Plan::Write { span, adopt }) = case.plan() else { return Ok(()) };
        let mut record = case.record;
        if let Some(bytes) = adopt {
            prop_assert_eq!(record.apply(&Entry::ChunkSize { bytes }), Ok(()));
            prop_assert_eq!(record.chunk_size, bytes);
        }
        prop_assert_eq!(record.apply(&received(span)), Ok(()));
    }
}

/// Chunks of 10 bytes announced, 5 to 20 allowed, 100 in all; chunk 0 comes with 7.
fn adopting() -> Case {
    Case {
        record: Record::new(sample::header(100)),
        number: 0,
        length: Some(7),
        in_flight: false,
    }
}

#[test]
fn chunk_0_may_choose_the_chunk_size() {
    let span = Span { start: 0, len: 7 };
    assert_eq!(
        adopting().plan(),
        Ok(Plan::Write {
            span,
            adopt: Some(7)
        })
    );
    for length in [5, 20] {
        let case = Case {
            length: Some(length),
            ..adopting()
        };
        let span = Span {
            start: 0,
            len: length,
        };
        assert_eq!(
            case.plan(),
            Ok(Plan::Write {
                span,
                adopt: Some(length)
            })
        );
    }
}

#[test]
fn each_condition_alone_keeps_the_announced_chunk_size() {
    let refused = Err(Violation::ChunkLength { expected: 10 });
    let holding = |span| {
        let mut record = adopting().record;
        record.apply(&received(span)).unwrap();
        record
    };
    let mut agreed = adopting().record;
    agreed.apply(&Entry::ChunkSize { bytes: 10 }).unwrap();
    let mut named = (*sample::header(100)).clone();
    named.declaration.chunk_size = Some(10);
    let short = Record::new(sample::header(15));
    let cases = [
        (
            "another chunk",
            Case {
                number: 1,
                ..adopting()
            },
        ),
        (
            "in flight",
            Case {
                in_flight: true,
                ..adopting()
            },
        ),
        (
            "held",
            Case {
                record: holding(Span { start: 10, len: 10 }),
                ..adopting()
            },
        ),
        (
            "agreed by an earlier chunk 0",
            Case {
                record: agreed,
                ..adopting()
            },
        ),
        (
            "named at create",
            Case {
                record: Record::new(Arc::new(named)),
                ..adopting()
            },
        ),
        (
            "below the least",
            Case {
                length: Some(4),
                ..adopting()
            },
        ),
        (
            "no bytes",
            Case {
                length: Some(0),
                ..adopting()
            },
        ),
        (
            "above the most",
            Case {
                length: Some(21),
                ..adopting()
            },
        ),
        (
            "the whole file",
            Case {
                record: short.clone(),
                length: Some(15),
                ..adopting()
            },
        ),
        (
            "more than the file",
            Case {
                record: short,
                length: Some(16),
                ..adopting()
            },
        ),
    ];
    for (why, case) in cases {
        assert_eq!(case.plan(), refused, "{why}");
    }
}

#[test]
fn the_last_chunk_is_the_rest() {
    let record = Record::new(sample::header(25));
    let case = |number, length| Case {
        record: record.clone(),
        number,
        length,
        in_flight: true,
    };
    let rest = Plan::Write {
        span: Span { start: 20, len: 5 },
        adopt: None,
    };
    assert_eq!(case(2, Some(5)).plan(), Ok(rest));
    assert_eq!(case(2, None).plan(), Ok(rest));
    assert_eq!(
        case(2, Some(10)).plan(),
        Err(Violation::ChunkLength { expected: 5 })
    );
    for number in [3, 4, u64::MAX] {
        assert_eq!(
            case(number, Some(10)).plan(),
            Err(Violation::ChunkRange { total_chunks: 3 })
        );
    }
}

#[test]
fn an_empty_file_has_no_chunk() {
    let record = Record::new(sample::header(0));
    let case = Case {
        record,
        number: 0,
        length: Some(0),
        in_flight: false,
    };
    assert_eq!(case.plan(), Err(Violation::ChunkRange { total_chunks: 0 }));
}

#[test]
fn a_held_chunk_is_a_duplicate_whatever_became_of_the_upload() {
    let at = Timestamp(3_000);
    let span = Span { start: 0, len: 10 };
    let mut record = Record::new(sample::header(10));
    record.apply(&received(span)).unwrap();
    let duplicate = Ok(Plan::Duplicate {
        span,
        held: Piece { len: 10, crc: 7 },
    });
    let answer = Some(sample::answer(204));
    let ended = Entry::HandoffEnded {
        answer,
        name: None,
        sha256: None,
        at,
    };
    for entry in [Entry::Sealed { at }, Entry::HandoffBegun { at }, ended] {
        let case = Case {
            record: record.clone(),
            number: 0,
            length: Some(10),
            in_flight: false,
        };
        assert_eq!(case.plan(), duplicate, "{}", record.state);
        record.apply(&entry).unwrap();
    }
    let case = Case {
        record,
        number: 0,
        length: Some(9),
        in_flight: false,
    };
    assert_eq!(case.plan(), Err(Violation::ChunkLength { expected: 10 }));
}

/// A chunk of a size agreed later would cut across it; the size only changes before bytes come,
/// so nothing but a log that contradicts itself has this.
#[test]
fn pieces_across_chunks_are_a_contradiction() {
    let mut record = Record::new(sample::header(100));
    record.apply(&received(Span { start: 5, len: 10 })).unwrap();
    for number in [0, 1] {
        let case = Case {
            record: record.clone(),
            number,
            length: None,
            in_flight: false,
        };
        assert_eq!(case.plan(), Err(Violation::Contradiction));
    }
}
