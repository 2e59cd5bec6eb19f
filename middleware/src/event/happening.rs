use crate::upload::{State, UploadKey};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// To one upload.
    Upload(Change),
    /// Uploads wait from now on: the network changes, or an operator wants it.
    Paused,
    /// They go on.
    Resumed,
}

/// What happened to an upload, and how it stands since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its name in logs and answers; not its session id, which only its client has.
    pub key: UploadKey,
    /// What it was.
    pub what: What,
    /// Where the upload stands.
    pub state: State,
    /// The number of its changes so far.
    pub revision: u64,
    /// Bytes that are safe.
    pub uploaded: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

impl Change {
    /// What happened to an upload, where it stands and since which revision, and how many of how
    /// many bytes are safe.
    pub(crate) fn new(
        key: UploadKey,
        what: What,
        (state, revision): (State, u64),
        (uploaded, total): (u64, u64),
    ) -> Self {
        Self {
            key,
            what,
            state,
            revision,
            uploaded,
            total,
        }
    }
}

/// Kinds of changes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It was created.
    Created,
    /// It has more bytes; or fewer, where some were lost and are asked for again.
    Progress,
    /// Nothing is missing, and it is being handed over.
    Finishing,
    /// The handler wants to be asked again.
    Undelivered,
    /// Nobody can tell whether the handler did its work.
    Unknown,
    /// The handler took it.
    Completed,
    /// The handler refused it, or it is not what its client declared.
    Rejected,
    /// It was given up.
    Cancelled,
    /// Its time is over, and it is forgotten.
    Expired,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Progress,
        Self::Finishing,
        Self::Undelivered,
        Self::Unknown,
        Self::Completed,
        Self::Rejected,
        Self::Cancelled,
        Self::Expired,
    ];

    /// That an upload has got into this state.
    #[must_use]
    pub fn reached(state: State) -> Self {
        match state {
            State::Receiving => Self::Progress,
            State::Finishing => Self::Finishing,
            State::Undelivered => Self::Undelivered,
            State::Unknown => Self::Unknown,
            State::Completed => Self::Completed,
            State::Rejected => Self::Rejected,
            State::Cancelled => Self::Cancelled,
        }
    }

    /// Its name on the wire and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Progress => "progress",
            Self::Finishing => "finishing",
            Self::Undelivered => "undelivered",
            Self::Unknown => "unknown",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing more happens to the upload by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        use What::{Cancelled, Completed, Expired, Rejected};
        matches!(self, Completed | Rejected | Cancelled | Expired)
    }
}
