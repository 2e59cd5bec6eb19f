//! Files with the same content share their space: a background index over the directory in which
//! the app's handler stores its files, whichever way they came there.
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
//!
//! Built for Linux; elsewhere nothing is shared, and the log says so.

#[cfg(target_os = "linux")]
mod cache;
#[cfg(target_os = "linux")]
mod candidate;
#[cfg(target_os = "linux")]
mod extents;
#[cfg(target_os = "linux")]
mod inbox;
#[cfg(target_os = "linux")]
mod index;
#[cfg(target_os = "linux")]
mod lease;
#[cfg(target_os = "linux")]
mod leftover;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod pace;
#[cfg(target_os = "linux")]
mod root;
#[cfg(target_os = "linux")]
mod sharing;
#[cfg(target_os = "linux")]
mod swap;
#[cfg(target_os = "linux")]
mod task;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod trouble;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(target_os = "linux")]
mod worker;

mod saved;
mod settings;

pub use saved::Saved;
pub use settings::Settings;
#[cfg(target_os = "linux")]
pub use task::run;

/// Says that nothing is shared here.
#[cfg(not(target_os = "linux"))]
pub async fn run(settings: Settings, _: Saved, _: impl Send + 'static) {
    let dir = settings.directory.display();
    tracing::warn!("files of {dir} do not share their space: that is built for Linux only");
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
