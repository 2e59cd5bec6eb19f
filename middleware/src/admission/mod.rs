//! Whether there is room: sessions and the bytes they still expect.

mod budget;

pub use budget::{Allowance, Budget, Full, Request, usable};

#[cfg(test)]
mod tests;
