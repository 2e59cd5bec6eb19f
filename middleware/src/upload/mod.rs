//! The model: what an upload is, what it holds, what may happen to it next.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no HTTP. `now` and random bytes are
//! arguments, so that every rule can be tested as a table and replayed from a log.
//!
//! - [`SessionId`] is the capability a client holds, [`UploadKey`] the name everything else uses.
//! - A [`Record`] is the fold of its [`Entry`]s; nothing changes it but [`Record::apply`].
//! - [`plan_append`] says what a request to add bytes means for a record.

mod digest;
mod id;
mod name;
mod plan;
mod ranges;
mod record;
mod rules;
mod state;
mod timestamp;

pub use digest::{Algorithm, Crc32c, Digest, DigestError, Hasher};
pub use id::{SessionId, UploadKey};
pub use name::{FileName, NameError, from_latin1, to_latin1};
pub use plan::{Plan, Target, Violation, plan_append};
pub use ranges::{Overlap, Piece, Ranges, Span};
pub use record::{
    Answer, Declaration, Durability, Entry, Failure, Header, Limits, Owner, Record, RecordError,
};
pub use rules::{Deadlines, Verdict, chunk_gaps, chunk_span, retry_delay, total_chunks, verdict};
pub use state::State;
pub use timestamp::Timestamp;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(any(test, fuzzing, feature = "conformance"))]
pub(crate) mod sample;
#[cfg(test)]
pub(crate) mod tests;
