//! What a new configuration changes in a process that runs.

use std::fmt;

use super::key::Key;
use super::tables::keys;
use super::{SessionStore, UploadConfig};

/// Keys that are read once, when the process starts.
const AT_START: &[&str] = &[
    "server.bind",
    "server.name",
    "server.advertise",
    "server.max_connections",
    "server.max_header_size",
    "uploads.resumable_uploads_enabled",
    "uploads.state_dir",
    // What is being published belongs to one place.
    "delivery.mode",
    "delivery.storage_path",
    "sessions.store",
    "sessions.redis_url",
    "sessions.redis_prefix",
    "sessions.redis_required",
    "storage.backend",
    "storage.bucket",
    "storage.prefix",
    "storage.endpoint",
    "storage.region",
    "metrics.listen",
    "logging.format",
];

/// Whether these are set is read once: a file that lost a line must not open the port to who speaks no TLS,
/// or has no certificate.
const WHETHER_AT_START: &[&str] = &["server.tls_cert", "server.tls_key", "server.tls_client_ca"];

/// The same while sessions are shared: what the other servers were told at the start.
const AT_START_SHARED: &[&str] = &[
    "uploads.max_resumable_age",
    "uploads.result_retention",
    "uploads.max_sessions_per_owner",
    "uploads.max_reserved_per_owner",
    "security.secret",
    "security.secret_file",
    "security.keys",
];

/// A key that is not what it was. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// `table.name`.
    key: &'static str,
    /// What was in force.
    before: Option<String>,
    now: Option<String>,
    pub(crate) effect: Effect,
}

/// What comes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    AtOnce,
    /// The old value stays until the process is started again.
    AtRestart,
    /// What had to wait for a restart is taken back.
    None,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, now] =
            [&self.before, &self.now].map(|value| value.as_deref().unwrap_or("not set"));
        let key = self.key;
        match self.effect {
            Effect::AtOnce => write!(f, "{key} = {now}, was {before}"),
            Effect::AtRestart => write!(
                f,
                "{key} = {now} needs a restart, {before} stays until then"
            ),
            Effect::None => write!(f, "{key} = {now}, as it is in force"),
        }
    }
}

/// What `new` is where `running` is in force and `before` was asked for last; and what that changes.
pub(crate) fn replace(
    running: &UploadConfig,
    before: &UploadConfig,
    new: &UploadConfig,
) -> (UploadConfig, Vec<Change>) {
    let mut next = new.clone();
    let mut changes = Vec::new();
    for key in keys() {
        let is_fixed = is_fixed(&key, running, new);
        if is_fixed {
            key.copy(running, &mut next);
        }
        if key.is_same(before, new) {
            continue;
        }
        let effect = match is_fixed {
            false => Effect::AtOnce,
            true if key.is_same(running, new) => Effect::None,
            true => Effect::AtRestart,
        };
        changes.push(Change {
            key: key.path,
            before: key.show(running),
            now: key.show(new),
            effect,
        });
    }
    (next, changes)
}

fn is_fixed(key: &Key, running: &UploadConfig, new: &UploadConfig) -> bool {
    let is_shared = running.keeps_sessions() && running.sessions.store == SessionStore::Redis;
    let is_set = |config| key.show(config).is_some();
    AT_START.contains(&key.path)
        || (is_shared && AT_START_SHARED.contains(&key.path))
        || (WHETHER_AT_START.contains(&key.path) && is_set(running) != is_set(new))
}

/// Every path named above, and whether it is always fixed, for the tests that they are keys and are
/// documented.
#[cfg(test)]
pub(super) fn fixed() -> impl Iterator<Item = (&'static str, bool)> {
    let always = AT_START.iter().map(|path| (*path, true));
    always.chain(AT_START_SHARED.iter().map(|path| (*path, false)))
}
