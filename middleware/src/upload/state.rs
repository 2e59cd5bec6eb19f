use std::fmt;

/// Where an upload stands.
///
/// ```text
/// Receiving -> Finishing -> Completed
///     ^            |------> Rejected ----.
///     |            |------> Undelivered -+-> Finishing (tried again)
///     `------------'------> Unknown -----'
/// Undelivered and Unknown -> Rejected (the file is found to be another than declared)
/// all but Finishing and Completed -> Cancelled
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Bytes are missing.
    Receiving,
    /// All bytes are here and the upload is being handed over.
    Finishing,
    /// The handler answered that it should be asked again.
    Undelivered,
    /// Nobody can tell whether the handler did its work.
    Unknown,
    /// The handler took it.
    Completed,
    /// The handler, or the digest the client declared, refused it.
    Rejected,
    /// The client gave it up.
    Cancelled,
}

impl State {
    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Finishing => "finishing",
            Self::Undelivered => "undelivered",
            Self::Unknown => "unknown",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether an upload may move from here to `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use State::{Cancelled, Completed, Finishing, Receiving, Rejected, Undelivered, Unknown};
        match self {
            // Bytes arrive until none is missing.
            Receiving => matches!(next, Finishing | Cancelled),
            // One finisher decides; withdrawn bytes send the upload back.
            Finishing => {
                matches!(
                    next,
                    Completed | Rejected | Undelivered | Unknown | Receiving
                )
            }
            // Kept bytes may be handed over again, and are looked at before.
            Undelivered | Unknown => {
                matches!(next, Finishing | Receiving | Rejected | Cancelled)
            }
            Rejected => matches!(next, Finishing | Receiving | Cancelled),
            Completed | Cancelled => false,
        }
    }

    /// Whether all bytes are here and the outcome is not.
    #[must_use]
    pub fn is_delivering(self) -> bool {
        matches!(self, Self::Finishing | Self::Undelivered | Self::Unknown)
    }

    /// Whether nothing more happens to the upload by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Rejected | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
