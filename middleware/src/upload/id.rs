use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Length of the random part in base64url: 256 bits.
const RANDOM_LEN: usize = 43;
const SERVER_NAME_LEN_MAX: usize = 32;

/// The bearer capability of one upload: 256 random bits as 43 characters of base64url, with
/// `<server name>.` before them where servers share sessions.
///
/// It is shown to the client that created the upload and to nobody else: it is never stored or
/// logged, and its `Debug` form is the [`UploadKey`].
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// Makes an id of 32 random bytes.
    #[must_use]
    pub fn new(random: [u8; 32], server_name: Option<&str>) -> Self {
        let random = URL_SAFE_NO_PAD.encode(random);
        Self(match server_name {
            Some(name) => format!("{name}.{random}"),
            None => random,
        })
    }

    /// Reads an id a client sent; `None` for anything of another shape, which therefore never
    /// reaches a lookup.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let random = match text.split_once('.') {
            Some((name, random)) => is_server_name(name).then_some(random)?,
            None => text,
        };
        let bytes = (random.len() == RANDOM_LEN)
            .then(|| URL_SAFE_NO_PAD.decode(random).ok())
            .flatten()?;
        (bytes.len() == 32).then(|| Self(text.to_owned()))
    }

    /// The id as another server would have made it of the same random bytes.
    #[must_use]
    pub fn of(&self, server_name: &str) -> Self {
        Self(format!("{server_name}.{}", self.random()))
    }

    /// The id without the name of a server.
    #[must_use]
    pub fn unnamed(&self) -> Self {
        Self(self.random().to_owned())
    }

    /// The name of the server it begins with.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.0.split_once('.').map(|(name, _)| name)
    }

    fn random(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or(&self.0)
    }

    /// The id as the client holds it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The name of this upload in files, logs and answers.
    #[must_use]
    pub fn key(&self) -> UploadKey {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        UploadKey(key)
    }
}

fn is_server_name(name: &str) -> bool {
    (1..=SERVER_NAME_LEN_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId(key {})", self.key())
    }
}

/// What an upload is called everywhere but in its client's hands:
/// `base64url(SHA-256(session id)[..16])`, 22 characters.
///
/// It does not lead back to the session id, so it may stand in files, logs and error bodies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadKey([u8; 16]);

impl UploadKey {
    /// A number below `count` that is the same every time, and spreads uploads evenly.
    #[must_use]
    pub fn lot(self, count: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[0], self.0[1]])) % count
    }
}

impl fmt::Display for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadKey({self})")
    }
}

impl FromStr for UploadKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ())?;
        bytes.try_into().map(Self).map_err(|_| ())
    }
}
