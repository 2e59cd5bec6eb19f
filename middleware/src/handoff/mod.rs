//! The ordinary request that the wrapped app has always known, and what it answers.
//!
//! - [`Template`]: which request, from `[delivery]` and the upload's header.
//! - [`HandoffBody`]: its body, streamed from where the bytes live.
//! - [`capture`]: the part of the answer that is stored.

mod body;
mod capture;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod multipart;
mod template;

pub use body::HandoffBody;
pub use capture::capture;
pub use template::Template;

#[cfg(test)]
mod tests;
