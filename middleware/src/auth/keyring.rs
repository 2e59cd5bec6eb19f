use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::{Secret, SecretError, Security};
use crate::upload::Owner;

/// Id of a key that was configured without one.
const DEFAULT_ID: &str = "default";

/// A secret with a name.
#[derive(Clone, Debug)]
pub struct Key {
    /// What signatures and logs call it.
    pub id: String,
    /// The secret.
    pub secret: Secret,
    /// When it ends.
    pub not_after: Option<SystemTime>,
}

/// The secrets in use; the first one signs, all of them verify.
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<Key>,
    made_at: Option<PathBuf>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The file cannot be read or made.
    #[error("cannot read or write the secret in {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no secret that is good enough.
    #[error("the secret in {path} is refused")]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SecretError,
    },
}

impl KeyRing {
    /// A ring of one key.
    #[must_use]
    pub fn of(id: &str, secret: Secret) -> Self {
        let key = Key {
            id: id.to_owned(),
            secret,
            not_after: None,
        };
        Self {
            keys: vec![key],
            made_at: None,
        }
    }

    /// The configured keys; without any, a secret that is made once and kept in
    /// `state_dir/secret`, mode 0600.
    ///
    /// # Errors
    /// [`KeyRingError`] names the file.
    pub fn open(security: &Security, state_dir: &Path) -> Result<Self, KeyRingError> {
        if !security.keys.is_empty() {
            let key = |key: &crate::config::SecurityKey| Key {
                id: key.id.clone(),
                secret: key.secret.clone(),
                not_after: key.not_after,
            };
            return Ok(Self {
                keys: security.keys.iter().map(key).collect(),
                made_at: None,
            });
        }
        if let Some(secret) = &security.secret {
            return Ok(Self::of(DEFAULT_ID, secret.clone()));
        }
        if let Some(path) = &security.secret_file {
            return Ok(Self::of(DEFAULT_ID, read(path)?));
        }
        let path = state_dir.join("secret");
        if !path.exists() {
            make(&path).map_err(|source| KeyRingError::Io {
                path: path.clone(),
                source,
            })?;
        }
        let ring = Self::of(DEFAULT_ID, read(&path)?);
        Ok(Self {
            made_at: Some(path),
            ..ring
        })
    }

    /// Where the server keeps the secret it made for itself, if it did.
    #[must_use]
    pub fn made_at(&self) -> Option<&Path> {
        self.made_at.as_deref()
    }

    /// The keys that have not ended.
    pub fn valid(&self) -> impl Iterator<Item = &Key> {
        let now = SystemTime::now();
        self.keys
            .iter()
            .filter(move |key| key.not_after.is_none_or(|end| now < end))
    }

    /// The key that makes new signatures.
    #[must_use]
    pub fn signing(&self) -> Option<&Key> {
        self.valid().next()
    }

    /// 32 bytes that only this server can make of an owner and an idempotency key. They stay
    /// the same as long as the first key does.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn idempotent_id(&self, owner: &Owner, key: &[u8]) -> [u8; 32] {
        let secret = self.keys.first().map_or(&[][..], |key| key.secret.expose());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key length is valid");
        mac.update(b"steadfast idempotent create\0");
        mac.update(&(owner.0.len() as u64).to_le_bytes());
        mac.update(owner.0.as_bytes());
        mac.update(key);
        mac.finalize().into_bytes().into()
    }
}

fn read(path: &Path) -> Result<Secret, KeyRingError> {
    let text = fs::read(path).map_err(|source| KeyRingError::Io {
        path: path.to_owned(),
        source,
    })?;
    let secret = text.trim_ascii().to_vec();
    Secret::new(secret).map_err(|source| KeyRingError::Refused {
        path: path.to_owned(),
        source,
    })
}

/// Keeps 32 random bytes as hex: printable, so that `openssl` can be given it on a command line.
fn make(path: &Path) -> io::Result<()> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", hex::encode(random))?;
    file.sync_all()
}
