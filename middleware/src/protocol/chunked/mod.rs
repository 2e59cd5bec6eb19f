//! The chunked dialect: `POST`/`PUT /upload/chunked`, `GET /upload/status` (seed: network
//! resilience guide; the wire is `protocol.md` section 1), `GET /upload/events`.
//!
//! `X-Upload-Session-ID` present means a chunk, absent a new upload. Chunks come in any order
//! and in parallel; the last missing one finishes the upload.

mod answer;
mod event;
mod filename;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod parse;
mod route;

pub use answer::{appended, cancelled, created, status};
pub use event::{HEARTBEAT, changed, head, pause, seen_all, snapshot, whole};
pub use parse::{Command, NewUpload, is_create, parse, unexpected_body};
pub use route::{Route, method_not_allowed, options, route};
