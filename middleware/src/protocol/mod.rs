//! The dialects: HTTP requests become commands for the engine, what it answers becomes HTTP.
//! Nothing here has an effect.
//!
//! - `request`: what dialects read from a request's head, and its body as a source of bytes.
//! - `presence`: whether a client is there that is not read from.
//! - `patience`: how long a request may take to arrive.
//! - `problem`: refusals as `application/problem+json` (RFC 9457).
//! - [`chunked`]: the dialect of the network resilience guide.

pub mod chunked;
mod patience;
mod presence;
mod problem;
mod reply;
mod request;

pub use patience::ReadLimit;
#[cfg(feature = "serve")]
pub use presence::Presence;
pub use problem::{Code, Problem};
pub use reply::Reply;
pub use request::{BodySource, Headers, discard_limit, expects_continue};
