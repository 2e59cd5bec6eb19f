use crate::upload::Timestamp;

/// Why a request does not pass. Nothing in it says what would have been right, but for the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It carries no signature of a scheme that is configured.
    Missing,
    /// Its signature was made with another key, or for another request.
    Invalid,
    /// Its signature cannot be read: what is wrong with it.
    Malformed(&'static str),
    /// It covers something that cannot be checked here: what.
    Unsupported(String),
    /// It covers something that the request does not have: what.
    Absent(String),
    /// It leaves out components or parameters that must be signed: which.
    Incomplete(Vec<&'static str>),
    /// It was made too long ago, or is not valid yet, or no longer.
    Stale {
        /// The time here.
        now: Timestamp,
    },
    /// It was used before.
    Replayed,
    /// It was made before this server could tell whether it was used.
    Early {
        /// The time here.
        now: Timestamp,
        /// How many seconds later one has to be made, at least.
        seconds: u64,
    },
    /// Nobody can tell now whether it was used before.
    Unknowable,
}
