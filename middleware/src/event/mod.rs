//! What happens to uploads, told once, at the one place where a record changes: to the app, to the
//! streams of single uploads, and to the counters that monitoring reads.
//!
//! 1. Telling never waits. Who does not keep up loses the oldest events and learns how many.
//! 2. Nothing here is static: two layers in one process do not know each other.
//! 3. An event carries an upload's key, never its session id. What is counted carries neither, and
//!    no name, owner or path: a label takes one of a few values that are known here.
//! 4. A frame of a body costs nothing, a chunk a few additions.

mod bus;
mod counts;
mod happening;
mod text;
mod watched;

#[cfg(test)]
mod tests;

pub use bus::{Events, Missed, Subscription};
pub use counts::{Counts, Handoff};
pub use happening::{Change, Event, What};
pub use text::Text;
pub use watched::{Full, Watch};
