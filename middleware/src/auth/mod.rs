//! Who may: signatures of requests, and the keys that make them.
//!
//! - [`KeyRing`]: the configured secrets, or the one the server makes for itself.
//! - [`Gate`]: whether a request passes.
//! - [`Purpose`]: what has to be signed of it.
//! - [`path`]: the scheme of the network resilience guide, `X-Signature`.
//! - [`message`]: HTTP Message Signatures (RFC 9421).
//! - [`Replay`]: which of those were used.

mod ahead;
mod denied;
mod gate;
mod keyring;
pub mod message;
pub mod path;
mod purpose;
mod replay;

pub use denied::Denied;
pub use gate::{Gate, Pass};
pub use keyring::{Key, KeyRing, KeyRingError};
pub use purpose::Purpose;
pub use replay::Replay;
