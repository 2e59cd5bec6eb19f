use super::{Piece, Record, Span, State, chunk_span, total_chunks};

/// Where a client wants its bytes to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Chunk `number`, counted from 0; `length` is the Content-Length, where there is one.
    Chunk {
        /// The chunk's number.
        number: u64,
        /// Announced length of the body, bytes.
        length: Option<u64>,
    },
}

/// What adding bytes means for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The bytes are wanted.
    Write {
        /// Where they go.
        span: Span,
        /// The chunk size the upload adopts with this request, bytes.
        adopt: Option<u64>,
    },
    /// The bytes are held: compare, write nothing.
    Duplicate {
        /// Where they are.
        span: Span,
        /// The piece that is held.
        held: Piece,
    },
}

/// Why bytes cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// There is no such chunk.
    ChunkRange {
        /// Number of chunks the upload has.
        total_chunks: u64,
    },
    /// The chunk has another length.
    ChunkLength {
        /// The length it has, bytes.
        expected: u64,
    },
    /// The client gave the upload up.
    Cancelled,
    /// Bytes are missing from an upload that accepts none any more, or pieces cut across chunks:
    /// the record contradicts itself.
    Contradiction,
}

/// Says what adding bytes at `target` means. `in_flight` tells whether another request is adding
/// bytes to this upload now.
///
/// A chunk has exactly the agreed chunk size, the last one the rest. Only chunk 0 may change
/// the size, once: with a Content-Length within the upload's limits and below its total, while
/// nothing is held or in flight, and unless the client named its chunk size at create.
///
/// # Errors
/// [`Violation`] says what is wrong and what would be right.
pub fn plan_append(record: &Record, target: Target, in_flight: bool) -> Result<Plan, Violation> {
    if record.state == State::Cancelled {
        return Err(Violation::Cancelled);
    }
    let Target::Chunk { number, length } = target;
    let total = record.header.declaration.total;
    let Some(span) = chunk_span(total, record.chunk_size, number) else {
        return Err(Violation::ChunkRange {
            total_chunks: total_chunks(total, record.chunk_size),
        });
    };
    match length {
        Some(length) if length != span.len => {
            if number == 0 && may_adopt(record, length, in_flight) {
                let span = Span {
                    start: 0,
                    len: length,
                };
                return Ok(Plan::Write {
                    span,
                    adopt: Some(length),
                });
            }
            Err(Violation::ChunkLength { expected: span.len })
        }
        _ => plan_span(record, span),
    }
}

fn plan_span(record: &Record, span: Span) -> Result<Plan, Violation> {
    if let Some(held) = record.ranges.piece(span) {
        return Ok(Plan::Duplicate { span, held });
    }
    if record.state != State::Receiving || record.ranges.overlapping(span).is_some() {
        return Err(Violation::Contradiction);
    }
    Ok(Plan::Write { span, adopt: None })
}

fn may_adopt(record: &Record, length: u64, in_flight: bool) -> bool {
    let header = &record.header;
    let allowed = header.limits.chunk_size_min..=header.limits.chunk_size_max;
    record.state == State::Receiving
        && record.ranges.is_empty()
        && !in_flight
        && !record.chunk_size_agreed
        && allowed.contains(&length)
        && length < header.declaration.total
        && length != record.chunk_size
}
