//! Whether there is room: sessions and the bytes they still expect, uploads that wait for a worker,
//! what one client may send.
//!
//! A worker makes chunks of an upload durable. Who works, and how, is known to whoever keeps the
//! bytes: it is told how many may, and drops the upload's [`Place`](queue::Place) in the [`Queue`] when it begins.

mod bandwidth;
mod bucket;
mod budget;
mod line;
mod queue;
mod rates;
mod scale;
mod who;

pub use bandwidth::{Bandwidth, Lane};
pub use budget::{Allowance, Budget, Full, Request, usable};
pub use line::Figures;
pub use queue::Queue;
pub use rates::{Rate, Rates};
pub use scale::Limits;
pub use who::{Origin, Who};

#[cfg(test)]
mod tests;
