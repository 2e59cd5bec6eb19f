use std::collections::BTreeMap;

use super::Crc32c;

/// A run of bytes of a file: `len` bytes from `start`. `start + len` fits in `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

impl Span {
    /// Offset behind the last byte.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether the two share a byte.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

/// Bytes received in one piece, with the checksum they arrived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of bytes.
    pub len: u64,
    /// Their CRC-32C.
    pub crc: u32,
}

/// A piece that shares bytes with one already held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes {}..{} are held already", .0.start, .0.end())]
pub struct Overlap(pub Span);

/// The received pieces of a file: disjoint, kept apart as they arrived, so that each keeps its
/// checksum. They only grow, but for [`Ranges::withdraw`].
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    pieces: BTreeMap<u64, Piece>,
    bytes: u64,
}

impl Ranges {
    /// Adds a piece.
    ///
    /// # Errors
    /// [`Overlap`] names a piece that shares bytes with it; nothing is changed then.
    pub fn insert(&mut self, span: Span, crc: u32) -> Result<(), Overlap> {
        if let Some(held) = self.overlapping(span) {
            return Err(Overlap(held));
        }
        self.bytes += span.len;
        self.pieces.insert(span.start, Piece { len: span.len, crc });
        Ok(())
    }

    /// Gives up the piece that covers exactly `span`; whether there was one.
    pub fn withdraw(&mut self, span: Span) -> bool {
        if self.piece(span).is_none() {
            return false;
        }
        self.pieces.remove(&span.start);
        self.bytes -= span.len;
        true
    }

    /// The piece that covers exactly `span`.
    #[must_use]
    pub fn piece(&self, span: Span) -> Option<Piece> {
        self.pieces
            .get(&span.start)
            .copied()
            .filter(|piece| piece.len == span.len)
    }

    /// A held piece that shares bytes with `span`.
    #[must_use]
    pub fn overlapping(&self, span: Span) -> Option<Span> {
        let (&start, piece) = self.pieces.range(..span.end()).next_back()?;
        let held = Span {
            start,
            len: piece.len,
        };
        held.overlaps(span).then_some(held)
    }

    /// Received bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether no byte was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Number of pieces held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The pieces in file order.
    pub fn iter(&self) -> impl Iterator<Item = (Span, Piece)> + '_ {
        self.pieces.iter().map(|(&start, &piece)| {
            (
                Span {
                    start,
                    len: piece.len,
                },
                piece,
            )
        })
    }

    /// The maximal runs below `total` that are not held, in file order.
    pub fn gaps(&self, total: u64) -> impl Iterator<Item = Span> + '_ {
        let ends = self.iter().map(|(span, _)| span.end());
        let gap_starts = std::iter::once(0).chain(ends);
        let gap_ends = self.pieces.keys().copied().chain(std::iter::once(total));
        gap_starts
            .zip(gap_ends)
            .filter(|(start, end)| start < end)
            .map(|(start, end)| Span {
                start,
                len: end - start,
            })
    }

    /// CRC-32C of the whole file of `total` bytes, once nothing is missing.
    #[must_use]
    pub fn crc(&self, total: u64) -> Option<u32> {
        let joined = |crc, piece: &Piece| Crc32c::join(crc, piece.crc, piece.len);
        let mut pieces = self.pieces.values();
        let first = pieces.next().map_or(0, |piece| piece.crc);
        (self.bytes == total).then(|| pieces.fold(first, joined))
    }
}
