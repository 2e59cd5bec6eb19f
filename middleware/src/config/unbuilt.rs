//! What the file can ask for and the program cannot do yet. Once a feature is built, its lines here
//! go, and nothing else has to change.
//!
//! A key whose absence would weaken security or move data is refused, never ignored.

use super::UploadConfig;
use super::key::Key;
use super::review::{Findings, Review};

/// Refused when set to anything but the default, with what would be missing.
const REFUSED: &[(&str, &str)] = &[("storage.backend", "the bytes would stay on this machine")];

/// Accepted, with a notice when set to anything but the default. A switch turned off is what
/// happens anyway, and needs none.
const IDLE: &[&str] = &[
    "dialects.staged",
    "dialects.tus",
    "dialects.rufh",
    "dialects.tus_path",
    "dialects.rufh_104",
    "storage.bucket",
    "storage.prefix",
    "storage.endpoint",
    "storage.region",
];

/// Adds what is refused and what is noticed.
pub(super) fn check(review: &Review<'_>, keys: &[Key], findings: &mut Findings) {
    let defaults = UploadConfig::default();
    for key in keys
        .iter()
        .filter(|key| review.raw.value(key.path).is_some())
    {
        let value = key.show(review.config);
        let built = value == key.show(&defaults);
        let value = value.unwrap_or_default();
        if built {
            continue;
        }
        if let Some((path, missing)) = REFUSED.iter().find(|(path, _)| *path == key.path) {
            let text = format!("{value} is not available yet: {missing}");
            findings.problems.push(review.problem(&[path], &text));
        } else if IDLE.contains(&key.path) && value != "false" {
            let text = format!("{value} has no effect yet");
            findings.notices.push(review.notice(&[key.path], &text));
        }
    }
}

/// Every path named in the lists above, for the test that they are keys.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    REFUSED
        .iter()
        .map(|(path, _)| *path)
        .chain(IDLE.iter().copied())
}
