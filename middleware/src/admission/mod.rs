//! Whether there is room: sessions and the bytes they still expect, uploads that wait for a worker.
//!
//! A worker makes chunks of an upload durable. Who works, and how, is known to whoever keeps the
//! bytes: it is told how many may, and drops the upload's [`Place`](queue::Place) in the [`Queue`] when it begins.

mod budget;
mod line;
mod queue;
mod scale;

pub use budget::{Allowance, Budget, Full, Request, usable};
pub use line::Figures;
pub use queue::Queue;
pub use scale::Limits;

#[cfg(test)]
mod tests;
