use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest file name, in bytes of UTF-8.
const LEN_MAX: usize = 255;

/// The name a client gave its file: one path component of 1..255 bytes of UTF-8, without `/`,
/// `\`, NUL or control characters, and neither `.` nor `..`.
///
/// It is data for the handler; no file of ours is ever named after it except in
/// `delivery.mode = "store"`, where it is the point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// Checks a name.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn parse(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        match name.len() {
            0 => return Err(NameError::Empty),
            1..=LEN_MAX => {}
            _ => return Err(NameError::TooLong),
        }
        if name == "." || name == ".." {
            return Err(NameError::Dots);
        }
        if name.contains(['/', '\\']) {
            return Err(NameError::Separator);
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FileName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::parse(name)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

/// Why a file name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum NameError {
    #[error("a file name must not be empty")]
    Empty,
    #[error("a file name must be at most 255 bytes of UTF-8")]
    TooLong,
    #[error("a file name must not be `.` or `..`")]
    Dots,
    #[error("a file name must be one component, without `/` or `\\`")]
    Separator,
    #[error("a file name must not contain control characters")]
    Control,
}

/// Reads bytes as ISO-8859-1: every byte is a character, so that none is lost.
#[must_use]
pub fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of a text made by [`from_latin1`]; `None` when it was not.
#[must_use]
pub fn to_latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(c).ok()).collect()
}
