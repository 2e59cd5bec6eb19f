use proptest::collection::vec;
use proptest::prelude::*;

use crate::upload::{Crc32c, Overlap, Piece, Ranges, Span};

/// A file as a map of bytes: which piece holds each, if one does.
struct Map(Vec<Option<Span>>);

impl Map {
    fn holders(&self, span: Span) -> Vec<Span> {
        let bytes = span.start as usize..span.end() as usize;
        self.0[bytes].iter().flatten().copied().collect()
    }

    fn set(&mut self, span: Span, holder: Option<Span>) {
        self.0[span.start as usize..span.end() as usize].fill(holder);
    }

    fn gaps(&self) -> Vec<Span> {
        let mut gaps: Vec<Span> = Vec::new();
        for (at, _) in self
            .0
            .iter()
            .enumerate()
            .filter(|(_, holder)| holder.is_none())
        {
            match gaps.last_mut() {
                Some(gap) if gap.end() == at as u64 => gap.len += 1,
                _ => gaps.push(Span {
                    start: at as u64,
                    len: 1,
                }),
            }
        }
        gaps
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Span),
    Withdraw(Span),
}

const TOTAL: u64 = 48;

fn span() -> impl Strategy<Value = Span> {
    (0..TOTAL)
        .prop_flat_map(|start| (Just(start), 1..=(TOTAL - start).min(12)))
        .prop_map(|(start, len)| Span { start, len })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => span().prop_map(Step::Insert),
        1 => span().prop_map(Step::Withdraw),
    ];
    vec(step, 0..60)
}

fn crc_of(span: Span) -> u32 {
    Crc32c::of(&span.start.to_le_bytes())
}

fn assert_same(ranges: &Ranges, map: &Map) {
    let held = map.0.iter().flatten().count() as u64;
    assert_eq!(ranges.bytes(), held);
    assert_eq!(ranges.is_empty(), held == 0);
    assert_eq!(ranges.gaps(TOTAL).collect::<Vec<_>>(), map.gaps());
    let mut pieces: Vec<Span> = map.0.iter().flatten().copied().collect();
    pieces.dedup();
    assert_eq!(ranges.len(), pieces.len());
    let expected = pieces.iter().map(|&span| {
        (
            span,
            Piece {
                len: span.len,
                crc: crc_of(span),
            },
        )
    });
    assert_eq!(
        ranges.iter().collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
    assert_eq!(ranges.crc(TOTAL).is_some(), held == TOTAL);
}

proptest! {
    #[test]
    fn ranges_are_a_map_of_bytes(steps in steps()) {
        let mut ranges = Ranges::default();
        let mut map = Map(vec![None; TOTAL as usize]);
        for step in steps {
            match step {
                Step::Insert(span) => {
                    let holders = map.holders(span);
                    match ranges.overlapping(span) {
                        Some(held) => prop_assert!(holders.contains(&held)),
                        None => prop_assert!(holders.is_empty()),
                    }
                    match ranges.insert(span, crc_of(span)) {
                        Ok(()) => {
                            prop_assert!(holders.is_empty());
                            map.set(span, Some(span));
                        }
                        Err(Overlap(held)) => prop_assert!(holders.contains(&held)),
                    }
                }
                Step::Withdraw(span) => {
                    let held = map.0[span.start as usize] == Some(span);
                    prop_assert_eq!(ranges.piece(span).is_some(), held);
                    prop_assert_eq!(ranges.withdraw(span), held);
                    if held {
                        map.set(span, None);
                    }
                }
            }
            assert_same(&ranges, &map);
        }
    }

    #[test]
    fn the_checksum_of_the_file_does_not_depend_on_the_order_of_its_pieces(
        (content, cuts) in vec(any::<u8>(), 1..3_000)
            .prop_flat_map(|content| {
                let len = content.len();
                (Just(content), vec(0..len, 0..12))
            }),
        order in any::<proptest::sample::Index>().prop_map(|index| index.index(7919)),
    ) {
        let mut bounds = cuts;
        bounds.extend([0, content.len()]);
        bounds.sort_unstable();
        bounds.dedup();
        let mut pieces: Vec<_> = bounds.windows(2).map(|pair| pair[0]..pair[1]).collect();
        // Any order will do, as long as it is seldom the file's own.
        pieces.sort_by_key(|piece| (piece.start * 31 + order) % 101);
        let mut ranges = Ranges::default();
        let total = content.len() as u64;
        for piece in pieces {
            prop_assert_eq!(ranges.crc(total), None);
            let span = Span { start: piece.start as u64, len: piece.len() as u64 };
            ranges.insert(span, Crc32c::of(&content[piece])).unwrap();
        }
        prop_assert_eq!(ranges.crc(total), Some(Crc32c::of(&content)));
    }
}

#[test]
fn the_checksum_of_an_empty_file_is_that_of_no_bytes() {
    assert_eq!(Ranges::default().crc(0), Some(Crc32c::of(b"")));
    assert_eq!(Ranges::default().crc(1), None);
}

#[test]
fn neighbours_do_not_overlap_and_ends_do_not_overflow() {
    let mut ranges = Ranges::default();
    let last = Span {
        start: u64::MAX - 9,
        len: 9,
    };
    ranges.insert(Span { start: 10, len: 10 }, 1).unwrap();
    ranges.insert(Span { start: 20, len: 1 }, 2).unwrap();
    ranges.insert(Span { start: 9, len: 1 }, 3).unwrap();
    ranges.insert(last, 4).unwrap();
    assert!(ranges.insert(Span { start: 19, len: 1 }, 5).is_err());
    assert!(ranges.insert(Span { start: 0, len: 10 }, 5).is_err());
    assert!(
        ranges
            .insert(
                Span {
                    start: 0,
                    len: u64::MAX
                },
                5
            )
            .is_err()
    );
    assert!(
        ranges
            .insert(
                Span {
                    start: u64::MAX - 1,
                    len: 9
                },
                5
            )
            .is_err()
    );
    assert_eq!(ranges.len(), 4);
}

#[test]
fn a_withdrawn_piece_can_be_received_again_with_another_checksum() {
    let span = Span { start: 4, len: 4 };
    let mut ranges = Ranges::default();
    ranges.insert(span, 1).unwrap();
    assert!(!ranges.withdraw(Span { start: 4, len: 3 }));
    assert!(!ranges.withdraw(Span { start: 5, len: 3 }));
    assert!(ranges.withdraw(span));
    assert!(!ranges.withdraw(span));
    ranges.insert(span, 2).unwrap();
    assert_eq!(ranges.piece(span), Some(Piece { len: 4, crc: 2 }));
}
