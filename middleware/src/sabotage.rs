//! Deliberate bugs, for tests that must be able to fail. None of them is in an ordinary build: they
//! exist under `cfg(test)`, and under `cfg(steadfast_sabotage)`, where the environment variable
//! `STEADFAST_SABOTAGE` names one.
//!
//! Most are made around the filesystem, the store and the handler (`saboteur`); the product asks here
//! for the few that cannot be made from outside.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, steadfast_sabotage)),
    expect(dead_code, reason = "there is no bug in this build")
)]
pub enum Bug {
    /// A chunk is acknowledged before its record is flushed.
    AckBeforeLog,
    /// The bytes are not flushed.
    NoDataFlush,
    /// The names are not flushed.
    NoDirectoryFlush,
    /// A flush that failed is tried again, and believed.
    RetryFlush,
    /// A flush that failed is taken for one that did not.
    IgnoreFlushError,
    /// The record is written and flushed before the bytes are written.
    ClaimBeforeData,
    /// Nothing tells a log from what a deleted file left in its place.
    NoSalt,
    /// Recovery cuts good records.
    TruncateRecords,
    /// After an error the cache is believed.
    BelieveCache,
    /// A chunk that is too short is taken.
    NoLengthCheck,
    /// The outcome is told before it is flushed.
    EndNotFlushed,
    /// The handler is called twice.
    DeliverTwice,
}

#[cfg(any(test, steadfast_sabotage))]
impl Bug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AckBeforeLog,
        Self::NoDataFlush,
        Self::NoDirectoryFlush,
        Self::RetryFlush,
        Self::IgnoreFlushError,
        Self::ClaimBeforeData,
        Self::NoSalt,
        Self::TruncateRecords,
        Self::BelieveCache,
        Self::NoLengthCheck,
        Self::EndNotFlushed,
        Self::DeliverTwice,
    ];

    /// Its name, as in the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeLog => "ack-before-log",
            Self::NoDataFlush => "no-data-flush",
            Self::NoDirectoryFlush => "no-directory-flush",
            Self::RetryFlush => "retry-flush",
            Self::IgnoreFlushError => "ignore-flush-error",
            Self::ClaimBeforeData => "claim-before-data",
            Self::NoSalt => "no-salt",
            Self::TruncateRecords => "truncate-records",
            Self::BelieveCache => "believe-cache",
            Self::NoLengthCheck => "no-length-check",
            Self::EndNotFlushed => "end-not-flushed",
            Self::DeliverTwice => "deliver-twice",
        }
    }
}

/// Whether this process, or in tests this thread, has the bug.
#[cfg(not(any(test, steadfast_sabotage)))]
pub const fn has(_: Bug) -> bool {
    false
}

#[cfg(all(steadfast_sabotage, not(test)))]
pub fn has(bug: Bug) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("STEADFAST_SABOTAGE").ok());
    let chosen = CHOSEN.as_deref();
    assert!(
        chosen.is_none_or(|name| Bug::ALL.iter().any(|bug| bug.name() == name)),
        "STEADFAST_SABOTAGE names no bug"
    );
    chosen == Some(bug.name())
}

#[cfg(test)]
std::thread_local! {
    /// The bug of this thread.
    pub(crate) static CHOSEN: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub fn has(bug: Bug) -> bool {
    CHOSEN.get() == Some(bug)
}
