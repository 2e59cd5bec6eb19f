use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::config::cidr::Cidr;
use crate::config::key::{Key, key};
use crate::config::kind::{Choice, FilePath, Flag, List, Network, Optional, Span, Text};
use crate::config::secret::Secret;
use crate::config::security_key::{KeyTable, SecretText};
use crate::config::text;
use crate::config::units::DAY;

/// `[security]`: who may upload. At most one of `secret`, `secret_file` and `keys` is set.
#[derive(Debug, Clone)]
pub struct Security {
    /// Whether requests must be signed.
    pub enabled: bool,
    /// The secret that signs requests.
    pub secret: Option<Secret>,
    /// The file that holds it.
    pub secret_file: Option<PathBuf>,
    /// Several secrets, each with a name; the ids are unique.
    pub keys: Vec<SecurityKey>,
    /// The signatures that are accepted; at least one, while security is enabled.
    pub schemes: Vec<Scheme>,
    /// Whether every chunk is signed, not only the request that creates the upload.
    pub sign_chunks: bool,
    /// Paths of the app that take signed requests only.
    pub protect: Vec<String>,
    /// How far the time in a signature may be from ours.
    pub max_skew: Duration,
    /// The networks that may use our routes; empty means everyone.
    pub allow: Vec<Cidr>,
    /// The networks that may not; wins over `allow`.
    pub deny: Vec<Cidr>,
}

impl Security {
    /// The id of a secret that is set without one.
    pub(crate) const LONE_KEY: &str = "default";

    /// Whether secrets come from the same places, and are the same as far as they are here.
    pub(crate) fn has_same_secrets(&self, other: &Self) -> bool {
        let of = |this: &Self| {
            let Self {
                secret,
                secret_file,
                keys,
                ..
            } = this.clone();
            (secret, secret_file, keys)
        };
        of(self) == of(other)
    }
}

/// One secret of several: `[[security.keys]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityKey {
    /// The name that requests use for it: visible ASCII, unique.
    pub id: String,
    /// The secret.
    pub secret: Secret,
    /// When it stops being accepted.
    pub not_after: Option<SystemTime>,
}

/// A kind of signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `"message"`: HTTP Message Signatures (RFC 9421).
    Message,
    /// `"path"`: the seed's `X-Signature`, an HMAC of the path. Can be replayed, so it must be named.
    Path,
}

const SCHEMES: &[(&str, Scheme)] = &[("message", Scheme::Message), ("path", Scheme::Path)];

impl Default for Security {
    fn default() -> Self {
        Self {
            enabled: true,
            secret: None,
            secret_file: None,
            keys: Vec::new(),
            schemes: vec![Scheme::Message],
            sign_chunks: false,
            protect: Vec::new(),
            max_skew: Duration::from_secs(300),
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let path = Text {
        expected: "a path such as \"/upload\", percent-encoded and without a query",
        valid: text::is_url_path,
    };
    let skew = Span(Duration::from_secs(1)..=DAY);
    vec![
        key("security.enabled", Flag, |c| &mut c.security.enabled),
        key("security.secret", Optional(SecretText), |c| {
            &mut c.security.secret
        }),
        key("security.secret_file", Optional(FilePath), |c| {
            &mut c.security.secret_file
        }),
        key("security.keys", List(KeyTable), |c| &mut c.security.keys),
        key("security.schemes", List(Choice(SCHEMES)), |c| {
            &mut c.security.schemes
        }),
        key("security.sign_chunks", Flag, |c| {
            &mut c.security.sign_chunks
        }),
        key("security.protect", List(path), |c| &mut c.security.protect),
        key("security.max_skew", skew, |c| &mut c.security.max_skew),
        key("security.allow", List(Network), |c| &mut c.security.allow),
        key("security.deny", List(Network), |c| &mut c.security.deny),
    ]
}
