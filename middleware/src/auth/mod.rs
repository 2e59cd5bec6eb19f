//! Who may: signatures of requests, and the keys that make them.
//!
//! - [`KeyRing`]: the configured secrets, or the one the server makes for itself.
//! - [`Gate`]: whether a request passes.
//! - [`path`]: the scheme of the network resilience guide, `X-Signature`.

mod gate;
mod keyring;
pub mod path;

pub use gate::{Denied, Gate};
pub use keyring::{Key, KeyRing, KeyRingError};
