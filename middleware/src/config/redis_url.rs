//! The address of a Redis server, which may hold a password.

use std::fmt;

use super::kind::{Kind, Wrong, quote};
use super::raw::{Value, ValueKind};
use super::secret::MASK;
use super::text::is_redis_url;

/// `redis://user:password@host:port/db` or `rediss://…`. `Debug` and `Display` mask what stands
/// before the `@`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    pub(super) fn new(url: &str) -> Self {
        Self(url.to_owned())
    }

    /// The whole URL, password included.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => write!(f, "{scheme}://{MASK}@{host}"),
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Reads a [`RedisUrl`] and never repeats what it found.
pub(super) struct RedisAddress;

impl Kind for RedisAddress {
    type Out = RedisUrl;

    fn read(&self, found: &Value) -> Result<RedisUrl, Vec<Wrong>> {
        match &found.kind {
            ValueKind::String(text) if is_redis_url(text) => Ok(RedisUrl::new(text)),
            _ => Err(vec![Wrong::masked(
                found,
                "an address such as \"redis://127.0.0.1:6379/0\"",
            )]),
        }
    }

    fn show(&self, value: &RedisUrl) -> Option<String> {
        Some(quote(&value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_masked() {
        let url = RedisUrl::new("rediss://user:p@ss@cache.example:6380/1");
        assert_eq!(
            format!("{url} {url:?}"),
            "rediss://***@cache.example:6380/1 rediss://***@cache.example:6380/1"
        );
        assert_eq!(url.expose(), "rediss://user:p@ss@cache.example:6380/1");
        assert_eq!(
            RedisUrl::new("redis://127.0.0.1:6379/0").to_string(),
            "redis://127.0.0.1:6379/0"
        );
    }
}
