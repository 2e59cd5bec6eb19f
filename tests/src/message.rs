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
/// What has to be covered of a cancel, or of a status by a header.
pub const UPLOAD: &[&str] = &["@method", "@authority", "@path", "x-upload-session-id"];
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
        let parameters = format!(
            ";created={};keyid=\"{}\"{more};nonce=\"{}\"",
            self.created, self.key_id, self.nonce
        );
        let line = |name: &&str| (format!("\"{name}\""), value(&request, name));
        let lines: Vec<_> = components.iter().map(line).collect();
        let (input, code) = self.sign_lines(&lines, &parameters);
        request
            .without("Signature-Input")
            .without("Signature")
            .header("Signature-Input", format!("sig={input}"))
            .header("Signature", format!("sig=:{code}:"))
    }

    /// What `Signature-Input` says, and the code in base64, of components as they are written with
    /// their values, and of parameters from their first semicolon on.
    ///
    /// # Panics
    /// Never: a key has any length.
    #[must_use]
    pub fn sign_lines(&self, lines: &[(String, String)], parameters: &str) -> (String, String) {
        let names: Vec<_> = lines.iter().map(|(name, _)| name.as_str()).collect();
        let input = format!("({}){parameters}", names.join(" "));
        let mut base = String::new();
        for (name, value) in lines {
            base.push_str(&format!("{name}: {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {input}"));
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes());
        let mut mac = mac.expect("any length of key");
        mac.update(base.as_bytes());
        (input, STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// What has to be covered of a request to the routes of uploads.
#[must_use]
pub fn required(request: &Request) -> &'static [&'static str] {
    let has = |name: &str| request.value_of(name).is_some();
    match () {
        () if has("x-chunk-number") => CHUNK,
        () if has("x-upload-session-id") => UPLOAD,
        () if has("x-filename") => CREATE,
        () => STATUS,
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
        "@authority" => {
            let named = request.value_of("host");
            named.unwrap_or_else(|| "localhost".to_owned())
        }
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        name => request.value_of(name).expect("a header that is covered"),
    }
}
