use super::Input;
use crate::upload::{Crc32c, Overlap, Piece, Ranges, Span};

const TOTAL: u64 = 48;
const LEN_MAX: u64 = 12;

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
        for at in (0..TOTAL).filter(|at| self.0[*at as usize].is_none()) {
            match gaps.last_mut() {
                Some(gap) if gap.end() == at => gap.len += 1,
                _ => gaps.push(Span { start: at, len: 1 }),
            }
        }
        gaps
    }
}

/// Pieces that come and go leave what they leave of a map of bytes.
pub(crate) fn ranges(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut ranges, mut map) = (Ranges::default(), Map(vec![None; TOTAL as usize]));
    while !input.is_empty() {
        let step = input.byte();
        let start = u64::from(input.byte()) % TOTAL;
        let len = 1 + u64::from(step >> 2) % LEN_MAX.min(TOTAL - start);
        let span = Span { start, len };
        match step % 4 {
            0 => withdraw(&mut ranges, &mut map, span),
            _ => insert(&mut ranges, &mut map, span),
        }
        assert_same(&ranges, &map);
    }
}

fn insert(ranges: &mut Ranges, map: &mut Map, span: Span) {
    let holders = map.holders(span);
    match ranges.overlapping(span) {
        Some(held) => assert!(holders.contains(&held)),
        None => assert!(holders.is_empty()),
    }
    match ranges.insert(span, crc_of(span)) {
        Ok(()) => {
            assert!(holders.is_empty());
            map.set(span, Some(span));
        }
        Err(Overlap(held)) => assert!(holders.contains(&held)),
    }
}

fn withdraw(ranges: &mut Ranges, map: &mut Map, span: Span) {
    let held = map.0[span.start as usize] == Some(span);
    assert_eq!(ranges.piece(span).is_some(), held);
    assert_eq!(ranges.withdraw(span), held);
    if held {
        map.set(span, None);
    }
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
        let (len, crc) = (span.len, crc_of(span));
        (span, Piece { len, crc })
    });
    assert!(ranges.iter().eq(expected));
    assert_eq!(ranges.crc(TOTAL).is_some(), held == TOTAL);
}
