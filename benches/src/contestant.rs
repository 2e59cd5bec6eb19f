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
}

impl Contestant {
    /// All, in the order in which they take turns.
    pub(crate) const ALL: [Self; 4] = [Self::Discard, Self::Inline, Self::Store, Self::Handler];

    /// The one that ratios relate to.
    pub(crate) const REFERENCE: Self = Self::Inline;

    /// As the command line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Inline => "inline",
            Self::Store => "store",
            Self::Handler => "handler",
        }
    }

    /// As the tables call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Discard => "bare axum, body discarded",
            Self::Inline => "bare axum, inline write",
            Self::Store => "Steadfast, store mode",
            Self::Handler => "Steadfast, handler mode",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|contestant| contestant.name() == name)
    }

    /// Whether it is the layer, and not a bare server.
    pub(crate) fn is_resumable(self) -> bool {
        matches!(self, Self::Store | Self::Handler)
    }

    /// Whether uploads are files in the end.
    pub(crate) fn keeps_files(self) -> bool {
        matches!(self, Self::Inline | Self::Store)
    }
}
