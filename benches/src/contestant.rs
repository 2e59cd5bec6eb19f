/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// Bare axum that drops every body: what receiving costs.
    Discard,
    /// Bare axum that writes every frame where it belongs, in the request's own task: the least a
    /// server that keeps its uploads can do.
    Inline,
    /// The layer, publishing uploads in a directory.
    Store,
    /// The layer, handing uploads to a handler that reads and drops them.
    Handler,
    /// [`Self::Inline`] that calls `fdatasync` in the request's own task before it answers: the
    /// least that survives a power cut.
    InlineFlush,
    /// The same, with `fdatasync` on a blocking thread: what axum's documentation asks for.
    BlockingFlush,
    /// [`Self::Store`] at `durability = "power"`.
    StorePower,
    /// [`Self::Handler`] at `durability = "power"`.
    HandlerPower,
}

impl Contestant {
    const ALL: [Self; 8] = [
        Self::Discard,
        Self::Inline,
        Self::Store,
        Self::Handler,
        Self::InlineFlush,
        Self::BlockingFlush,
        Self::StorePower,
        Self::HandlerPower,
    ];

    /// As the command line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Inline => "inline",
            Self::Store => "store",
            Self::Handler => "handler",
            Self::InlineFlush => "inline-flush",
            Self::BlockingFlush => "blocking-flush",
            Self::StorePower => "store-power",
            Self::HandlerPower => "handler-power",
        }
    }

    /// As the tables call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Discard => "bare axum, body discarded",
            Self::Inline => "bare axum, inline write",
            Self::Store | Self::StorePower => "Steadfast, store mode",
            Self::Handler | Self::HandlerPower => "Steadfast, handler mode",
            Self::InlineFlush => "bare axum, inline fdatasync",
            Self::BlockingFlush => "bare axum, blocking fdatasync",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|contestant| contestant.name() == name)
    }

    /// What it is to say of itself when an upload begins: what acknowledged bytes survive the loss
    /// of. `None`: bare servers say nothing.
    pub(crate) fn durability(self) -> Option<&'static str> {
        match self {
            Self::Store | Self::Handler => Some("process"),
            Self::StorePower | Self::HandlerPower => Some("power"),
            _ => None,
        }
    }

    /// Whether it is the layer, and not a bare server.
    pub(crate) fn is_resumable(self) -> bool {
        self.durability().is_some()
    }

    /// Whether uploads are files in the end.
    pub(crate) fn keeps_files(self) -> bool {
        !matches!(self, Self::Discard | Self::Handler | Self::HandlerPower)
    }
}
