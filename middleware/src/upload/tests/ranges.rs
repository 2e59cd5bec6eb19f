use proptest::collection::vec;
use proptest::prelude::*;

use crate::upload::{Crc32c, Piece, Ranges, Span, fuzz};

proptest! {
    #[test]
    fn ranges_are_a_map_of_bytes(steps in vec(any::<u8>(), 0..120)) {
        fuzz::ranges(&steps);
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
