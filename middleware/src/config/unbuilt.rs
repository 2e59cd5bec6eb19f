//! What the file can ask for and the program cannot do yet. Once a feature is built, its lines here
//! go, and nothing else has to change.
//!
//! A key whose absence would weaken security or move data is refused, never ignored.

use super::key::Key;
use super::review::{Findings, Review};
use super::{Scheme, UploadConfig};

/// Refused when set to anything but the default, with what would be missing.
const REFUSED: &[(&str, &str)] = &[
    ("security.sign_chunks", "chunks would be taken unsigned"),
    ("security.allow", "nobody would be kept out"),
    ("security.deny", "nobody would be kept out"),
    ("storage.backend", "the bytes would stay on this machine"),
    ("limits.requests_per_second", "nobody would be limited"),
    ("limits.burst", "nobody would be limited"),
    ("limits.bandwidth", "nobody would be limited"),
];

/// Accepted, with a notice when set to anything but the default. A switch turned off is what
/// happens anyway, and needs none.
const IDLE: &[&str] = &[
    "server.trusted_proxies",
    "dialects.staged",
    "dialects.tus",
    "dialects.rufh",
    "dialects.tus_path",
    "dialects.rufh_104",
    "security.max_skew",
    "storage.bucket",
    "storage.prefix",
    "storage.endpoint",
    "storage.region",
];

/// Adds what is refused and what is noticed.
pub(super) fn check(review: &Review<'_>, keys: &[Key], findings: &mut Findings) {
    plain(review, keys, findings);
    schemes(review, findings);
}

fn plain(review: &Review<'_>, keys: &[Key], findings: &mut Findings) {
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

/// Signatures of messages (RFC 9421).
fn schemes(review: &Review<'_>, findings: &mut Findings) {
    let paths = ["security.schemes"];
    let security = &review.config.security;
    let sound = review.is_sound(&paths) && review.is_sound(&["security.enabled"]);
    if !security.enabled || !security.schemes.contains(&Scheme::Message) || !sound {
        return;
    }
    if security.schemes.contains(&Scheme::Path) {
        let text = "\"message\" is not available yet: only \"path\" is accepted";
        findings.notices.push(review.notice(&paths, text));
    } else {
        let text = "\"message\" is not available yet: write schemes = [\"path\"] under [security], \
                    or enabled = false to let everyone in";
        findings.problems.push(review.problem(&paths, text));
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
