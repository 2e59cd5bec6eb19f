//! HTTP Message Signatures (RFC 9421) as a client makes them: text by text, without the library.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::SECRET;
use crate::http::Request;

/// What has to be covered of a create.
pub const CREATE: &[&str] = &[
    "@method",
    "@authority",
    "@path",
    "x-filename",
    "x-total-size",
];
/// What has to be covered of a chunk.
pub const CHUNK: &[&str] = &[
    "@method",
    "@authority",
    "@path",
    "x-upload-session-id",
    "x-chunk-number",
    "content-digest",
];
/// What has to be covered of a status by its query.
pub const STATUS: &[&str] = &["@method", "@authority", "@path", "@query"];

/// A signature to be made.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The secret of the key.
    pub secret: String,
    /// Its id.
    pub key_id: String,
    /// When it is made, seconds since 1970.
    pub created: u64,
    /// Used once.
    pub nonce: String,
}

impl Default for Signing {
    /// By the secret of every test server, now, with a nonce of its own.
    fn default() -> Self {
        static NONCES: AtomicU64 = AtomicU64::new(0);
        let nonce = NONCES.fetch_add(1, Ordering::Relaxed);
        Self {
            secret: SECRET.to_owned(),
            key_id: "default".to_owned(),
            created: now(),
            nonce: format!("{}-{nonce}", std::process::id()),
        }
    }
}

/// Seconds since 1970.
///
/// # Panics
/// Before.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is later than 1970").as_secs()
}

impl Signing {
    /// By another key.
    #[must_use]
    pub fn by(key_id: &str, secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            key_id: key_id.to_owned(),
            ..Self::default()
        }
    }

    /// Made then.
    #[must_use]
    pub fn at(created: u64) -> Self {
        Self {
            created,
            ..Self::default()
        }
    }

    /// `request` with a signature that covers `components`.
    ///
    /// # Panics
    /// When the request has no such header.
    #[must_use]
    pub fn sign(&self, request: Request, components: &[&str]) -> Request {
        self.sign_with(request, components, "")
    }

    /// The same with parameters between the key's id and the nonce.
    ///
    /// # Panics
    /// When the request has no such header.
    #[must_use]
    pub fn sign_with(&self, request: Request, components: &[&str], more: &str) -> Request {
        let quoted: Vec<_> = components
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        let parameters = format!(
            "({});created={};keyid=\"{}\"{more};nonce=\"{}\"",
            quoted.join(" "),
            self.created,
            self.key_id,
            self.nonce
        );
        let mut base = String::new();
        for name in components {
            let value = value(&request, name);
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {parameters}"));
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes());
        let mut mac = mac.expect("any length of key");
        mac.update(base.as_bytes());
        let code = STANDARD.encode(mac.finalize().into_bytes());
        request
            .without("Signature-Input")
            .without("Signature")
            .header("Signature-Input", format!("sig={parameters}"))
            .header("Signature", format!("sig=:{code}:"))
    }
}

/// The value of a component, as the RFC has it.
///
/// # Panics
/// When the request has no such header.
#[must_use]
pub fn value(request: &Request, name: &str) -> String {
    let (path, query) = match request.path_and_query().split_once('?') {
        Some((path, query)) => (path, query),
        None => (request.path_and_query(), ""),
    };
    match name {
        "@method" => request.verb().to_owned(),
        // What the head says.
        "@authority" => "localhost".to_owned(),
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        name => request.value_of(name).expect("a header that is covered"),
    }
}
