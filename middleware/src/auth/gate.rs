use std::time::Duration;

use super::message::{self, Message, Nonce, Verified, Window};
use super::{Denied, Key, KeyRing, Purpose, path};
use crate::config::{Scheme, Security};
use crate::upload::Timestamp;

/// Decides whether a request is signed by one of our keys.
#[derive(Clone, Debug)]
pub struct Gate {
    enabled: bool,
    schemes: Vec<Scheme>,
    sign_chunks: bool,
    max_skew: Duration,
    public_base: String,
    protect: Vec<String>,
    ring: KeyRing,
}

/// What is known of a request that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass<'g> {
    /// The id of the key that signed it; `None` where no signature is asked for.
    pub signer: Option<&'g str>,
    /// What must not have been used before. With one, all that had to be is covered, also the digest
    /// of a body.
    pub nonce: Option<Nonce>,
}

impl Gate {
    /// The gate of `[security]`.
    #[must_use]
    pub fn new(security: &Security, public_base: &str, ring: KeyRing) -> Self {
        Self {
            enabled: security.enabled,
            schemes: security.schemes.clone(),
            sign_chunks: security.sign_chunks,
            max_skew: security.max_skew,
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

    /// Whether signatures of this scheme count.
    #[must_use]
    pub fn accepts(&self, scheme: Scheme) -> bool {
        self.enabled && self.schemes.contains(&scheme)
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

    /// When signatures that pass at `now` were made.
    #[must_use]
    pub fn window(&self, now: Timestamp) -> Window {
        Window {
            now,
            max_skew: self.max_skew,
        }
    }

    /// Checks the signature of a request, of which `x_signature` is the one of its path. Where there
    /// are several kinds, one that passes is enough.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(
        &self,
        purpose: Purpose,
        message: &Message<'_>,
        x_signature: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Pass<'_>, Denied> {
        let is_asked = match purpose {
            Purpose::Create | Purpose::App { .. } => true,
            Purpose::Chunk | Purpose::Upload => self.sign_chunks,
        };
        if !self.enabled || !is_asked {
            return Ok(Pass::default());
        }
        match self.check_message(purpose, message, now) {
            Ok(pass) => Ok(pass),
            Err(denied) => match x_signature.filter(|_| self.accepts(Scheme::Path)) {
                Some(signature) => self.check_path(message.uri.path(), signature),
                None => Err(denied),
            },
        }
    }

    fn check_message(
        &self,
        purpose: Purpose,
        message: &Message<'_>,
        now: Timestamp,
    ) -> Result<Pass<'_>, Denied> {
        if !self.accepts(Scheme::Message) {
            return Err(Denied::Missing);
        }
        let required = purpose.required(message.headers, message.uri.query().is_some());
        let message = Message {
            public_base: &self.public_base,
            ..*message
        };
        let verified = message::verify(&self.ring, &message, &required, self.window(now));
        let Verified { key_id, nonce } = verified?;
        Ok(Pass {
            signer: Some(key_id),
            nonce: Some(nonce),
        })
    }

    fn check_path(&self, path: &str, signature: &[u8]) -> Result<Pass<'_>, Denied> {
        let public = (!self.public_base.is_empty()).then(|| format!("{}{path}", self.public_base));
        let key = path::verify(&self.ring, path, signature)
            .or_else(|| path::verify(&self.ring, &public?, signature));
        let signer = Some(key.ok_or(Denied::Invalid)?);
        Ok(Pass {
            signer,
            nonce: None,
        })
    }

    /// The key that signs for us, where signatures are asked for.
    #[must_use]
    pub fn signing(&self) -> Option<&Key> {
        self.ring.signing().filter(|_| self.enabled)
    }
}
