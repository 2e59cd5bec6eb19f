//! What went against a promise.

/// A broken promise, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Acknowledged and not there any more.
    Lost(String),
    /// There, or handed over, though it was never sent so.
    Phantom(String),
    /// Handed over more often than crashes explain.
    Double(String),
    /// Anything else that should not be.
    Odd(String),
}

impl Finding {
    /// The sentence.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Lost(text) | Self::Phantom(text) | Self::Double(text) | Self::Odd(text) => text,
        }
    }

    /// The sentence, to be gone on with.
    pub fn text_mut(&mut self) -> &mut String {
        match self {
            Self::Lost(text) | Self::Phantom(text) | Self::Double(text) | Self::Odd(text) => text,
        }
    }

    /// The kind, as the report calls it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::Phantom(_) => "phantom",
            Self::Double(_) => "double",
            Self::Odd(_) => "odd",
        }
    }
}
