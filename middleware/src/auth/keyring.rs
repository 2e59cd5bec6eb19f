use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::{Secret, SecretError, Security};
use crate::upload::{Owner, Timestamp};

/// Id of a key that was configured without one.
const DEFAULT_ID: &str = Security::LONE_KEY;

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
    /// A ring of these keys.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self {
            keys,
            made_at: None,
        }
    }

    /// A ring of one key.
    #[must_use]
    pub fn of(id: &str, secret: Secret) -> Self {
        let key = Key {
            id: id.to_owned(),
            secret,
            not_after: None,
        };
        Self::new(vec![key])
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
            return Ok(Self::new(security.keys.iter().map(key).collect()));
        }
        if let Some(secret) = &security.secret {
            return Ok(Self::of(DEFAULT_ID, secret.clone()));
        }
        if let Some(path) = &security.secret_file {
            return Ok(Self::of(DEFAULT_ID, read(path)?));
        }
        let path = state_dir.join("secret");
        if !is_made(&path) {
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
        self.valid_at(SystemTime::now())
    }

    fn valid_at(&self, now: SystemTime) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .filter(move |key| key.not_after.is_none_or(|end| now < end))
    }

    /// The key of this id, unless it has ended.
    #[must_use]
    pub fn find(&self, id: &str, now: Timestamp) -> Option<&Key> {
        self.valid_at(now.to_system_time()).find(|key| key.id == id)
    }

    /// The key that makes new signatures.
    #[must_use]
    pub fn signing(&self) -> Option<&Key> {
        self.valid().next()
    }

    /// Tells servers with different first keys apart, and says nothing of the key: 8 hex digits.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn fingerprint(&self) -> String {
        let secret = self.keys.first().map_or(&[][..], |key| key.secret.expose());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key length is valid");
        mac.update(b"steadfast fingerprint\0");
        hex::encode(&mac.finalize().into_bytes()[..4])
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

/// Whether there is a secret. A file of nothing, or of zeros, is what a power cut leaves of one that
/// was never flushed, and so never used.
fn is_made(path: &Path) -> bool {
    match fs::read(path) {
        Ok(text) => text
            .iter()
            .any(|&byte| byte != 0 && !byte.is_ascii_whitespace()),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Keeps 32 random bytes as hex: printable, so that `openssl` can be given it on a command line.
/// The file has its name only once it is whole and durable.
fn make(path: &Path) -> io::Result<()> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(format!("{}\n", hex::encode(random)).as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn secret(dir: &Path) -> Vec<u8> {
        let ring = KeyRing::open(&Security::default(), dir).unwrap();
        assert_eq!(ring.made_at(), Some(&*dir.join("secret")));
        let mode = fs::metadata(dir.join("secret"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(!dir.join("secret.new").exists());
        ring.signing().unwrap().secret.expose().to_vec()
    }

    #[test]
    fn a_secret_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let made = secret(dir.path());
        assert_eq!(made.len(), 64);
        assert_eq!(secret(dir.path()), made);
        assert_ne!(secret(tempfile::tempdir().unwrap().path()), made);
    }

    /// The process or the machine died while it was being made.
    #[test]
    fn a_secret_that_was_cut_short_is_made_anew() {
        for (name, left) in [
            ("secret", &b""[..]),
            ("secret", &[0; 65]),
            ("secret", b"\n"),
            ("secret.new", b"0123456789abcdef"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), left).unwrap();
            let made = secret(dir.path());
            assert_eq!(made.len(), 64, "{name} {left:?}");
            assert_eq!(secret(dir.path()), made);
        }
    }

    /// Whoever put it there means it: it is not replaced behind their back.
    #[test]
    fn a_secret_that_is_too_short_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "short").unwrap();
        let refused = KeyRing::open(&Security::default(), dir.path()).unwrap_err();
        assert!(matches!(refused, KeyRingError::Refused { .. }), "{refused}");
        assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"short");
    }
}
