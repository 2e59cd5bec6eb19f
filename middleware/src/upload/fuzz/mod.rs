//! What fuzzers try of the model, and what they make of bytes for all other modules.

#![allow(clippy::unwrap_used, reason = "checks panic")]

mod entry;
mod input;
mod ranges;
mod sound;

use std::path::Path;

pub(crate) use entry::entry;
pub(crate) use input::Input;
pub(crate) use ranges::ranges;
pub(crate) use sound::{assert_ranges, assert_sound};

use super::FileName;

/// A name that is accepted is one component of a path, and stays the same.
pub(crate) fn file_name(text: &str) -> Option<FileName> {
    let name = FileName::parse(text).ok()?;
    assert_eq!(name.as_str(), text);
    assert!((1..=255).contains(&text.len()));
    assert!(!text.bytes().any(|byte| byte < 0x20 || byte == 0x7f));
    let path = Path::new("dir").join(text);
    assert_eq!(path.parent(), Some(Path::new("dir")), "{text:?}");
    assert_eq!(path.file_name().unwrap(), text);
    // As other systems see it.
    assert!(!text.contains(['/', '\\']));
    let json = serde_json::to_string(&name).unwrap();
    assert_eq!(serde_json::from_str::<FileName>(&json).unwrap(), name);
    Some(name)
}
