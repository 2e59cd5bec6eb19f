//! Whether there is room: sessions and the bytes they still expect.

mod budget;

pub use budget::{Allowance, Budget, Full, Request};

#[cfg(test)]
mod tests;
