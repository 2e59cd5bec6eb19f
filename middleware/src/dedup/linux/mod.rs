//! How files come to share their space.
//!
//! 1. A file is looked at when it has been quiet for some seconds, is open for writing nowhere
//!    ([`lease`]), is a regular file of at most `maxsize`, and neither its name nor that of a
//!    directory above it begins with a dot, as those of unfinished files do. Symbolic links are
//!    never followed, and nothing outside of the directory is touched ([`tree`]).
//! 2. Only files of a size that another one has are read at all. Their SHA-256 proposes; that the
//!    bytes are the same is found out before anything is shared, by the kernel ([`extents`]) or by
//!    comparing them ([`link`]).
//! 3. Content, mode, owner and time of modification of a name stay what they are, but for the time
//!    where `times = "newest"` allows it; no name is ever missing ([`swap`]).
//! 4. The process may die at any point. What was computed is kept in a file that is a cache and
//!    nothing else ([`cache`]); a name that was being replaced is put right at the next start
//!    ([`leftover`]).
//! 5. The work is done by one thread of low priority that rests three times as long as it works
//!    ([`pace`]), never by the tasks of the app.
//! 6. Memory: about 400 bytes for each file, for at most a million files ([`index`]).

mod cache;
mod candidate;
mod extents;
mod inbox;
mod index;
mod lease;
mod leftover;
mod link;
mod pace;
mod root;
mod sharing;
mod swap;
mod task;
mod tree;
mod trouble;
mod watch;
mod worker;

use super::{Saved, Settings};

pub use task::run;

#[cfg(test)]
mod tests;
