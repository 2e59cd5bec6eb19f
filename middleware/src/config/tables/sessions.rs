use crate::config::key::{Key, key};
use crate::config::kind::{Choice, Flag, Text};
use crate::config::redis_url::{RedisAddress, RedisUrl};
use crate::config::text;

/// `[sessions]`: where is written down who has sent what.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// Where sessions are kept.
    pub store: SessionStore,
    /// The Redis server.
    pub redis_url: RedisUrl,
    /// What every key in Redis starts with.
    pub redis_prefix: String,
    /// `true`: start without Redis and answer 503 until it is there. `false`: use the disk until
    /// the next start.
    pub redis_required: bool,
}

/// Where sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStore {
    /// `"disk"`: beside the bytes, in `uploads.state_dir`.
    Disk,
    /// `"redis"`: shared by several servers.
    Redis,
    /// `"memory"`: gone when the process ends.
    Memory,
}

const STORES: &[(&str, SessionStore)] = &[
    ("disk", SessionStore::Disk),
    ("redis", SessionStore::Redis),
    ("memory", SessionStore::Memory),
];

impl Default for Sessions {
    fn default() -> Self {
        Self {
            store: SessionStore::Disk,
            redis_url: RedisUrl::new("redis://127.0.0.1:6379/0"),
            redis_prefix: "steadfast".to_owned(),
            redis_required: true,
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let prefix = Text {
        expected: "visible ASCII without spaces such as \"steadfast\"",
        valid: text::is_visible,
    };
    vec![
        key("sessions.store", Choice(STORES), |c| &mut c.sessions.store),
        key("sessions.redis_url", RedisAddress, |c| {
            &mut c.sessions.redis_url
        }),
        key("sessions.redis_prefix", prefix, |c| {
            &mut c.sessions.redis_prefix
        }),
        key("sessions.redis_required", Flag, |c| {
            &mut c.sessions.redis_required
        }),
    ]
}
