use super::{KeyRing, path};
use crate::config::{Scheme, Security};

/// Decides whether a request is signed by one of our keys.
#[derive(Clone, Debug)]
pub struct Gate {
    enabled: bool,
    accepts_path: bool,
    public_base: String,
    protect: Vec<String>,
    ring: KeyRing,
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It carries no signature of a scheme that is configured.
    Missing,
    /// Its signature was made with another key, or for another path.
    Invalid,
}

impl Gate {
    /// The gate of `[security]`.
    #[must_use]
    pub fn new(security: &Security, public_base: &str, ring: KeyRing) -> Self {
        Self {
            enabled: security.enabled,
            accepts_path: security.schemes.contains(&Scheme::Path),
            public_base: public_base.to_owned(),
            protect: security.protect.clone(),
            ring,
        }
    }

    /// The keys.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Whether requests to a path of the app must be signed: the path as received, with or
    /// without a trailing slash.
    #[must_use]
    pub fn protects(&self, path: &str) -> bool {
        self.enabled && self.names(path)
    }

    /// Whether a path of the app is protected, by signatures or by addresses alone.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        let bare = path.strip_suffix('/').unwrap_or(path);
        self.protect
            .iter()
            .any(|entry| entry == path || entry == bare)
    }

    /// Checks a request's path signature; answers the id of the key that made it, or nothing
    /// where no signature is asked for.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(&self, path: &str, signature: Option<&[u8]>) -> Result<Option<&str>, Denied> {
        if !self.enabled {
            return Ok(None);
        }
        let signature = signature
            .filter(|_| self.accepts_path)
            .ok_or(Denied::Missing)?;
        let public = (!self.public_base.is_empty()).then(|| format!("{}{path}", self.public_base));
        path::verify(&self.ring, path, signature)
            .or_else(|| path::verify(&self.ring, &public?, signature))
            .map(Some)
            .ok_or(Denied::Invalid)
    }

    /// A path signature of ours, where that scheme is on.
    #[must_use]
    pub fn sign(&self, path: &str) -> Option<String> {
        let key = self
            .ring
            .signing()
            .filter(|_| self.enabled && self.accepts_path)?;
        Some(path::sign(key.secret.expose(), path))
    }
}
