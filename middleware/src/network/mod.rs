//! When the network of this machine changes, uploads wait until it is quiet again.
//!
//! 1. What counts are interfaces that have an address, whether they run, their addresses, and the
//!    default routes through them. An interface without an address carries no upload.
//! 2. The system's events only say when to look ([`events`]); what changed is found by looking
//!    ([`snapshot`]), also without events.
//! 3. A change shuts the [`Gate`]: requests that bring bytes read no more of them, so that their
//!    clients stop sending. It opens when nothing has changed for `network.settle` ([`settle`]).
//! 4. Pauses are paid for: one lasts `network.max_pause` at most, less what earlier ones took and
//!    the time since has not made up for. When that is used up, changes are ignored for as long.
//! 5. An operator may shut it as well. It opens when neither wants it shut.

mod events;
mod gate;
mod pattern;
mod settle;
mod snapshot;
#[cfg(test)]
mod tests;
mod watch;

pub use gate::{By, Gate};
pub use settle::Turn;
pub use watch::{Change, watch};
