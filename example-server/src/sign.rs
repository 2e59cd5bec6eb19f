//! Signs a request from the command line, with the secret of the server.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use steadfast::auth::message::{self, Message};
use steadfast::auth::{Key, KeyRing, path};
use steadfast::config::{Scheme, Security, UploadConfig};

/// Print the headers of a signed request, for `curl -H @-`
///
/// They are those that were given, the digest of the body, and a signature: Signature-Input and Signature of
/// everything (RFC 9421), which can be used once, within the next minutes, or X-Signature of the path alone,
/// which can be used for ever.
#[derive(Debug, Parser)]
pub(crate) struct Sign {
    /// The method of the request
    #[arg(long, default_value = "POST")]
    method: Method,

    /// Its path, percent-encoded, with the query if there is one
    #[arg(long)]
    path: Uri,

    /// Where it goes, as in the URL: `files.example` or `127.0.0.1:8080`
    ///
    /// Without this option it is server.bind.
    #[arg(long)]
    host: Option<String>,

    /// A header of the request: `X-Filename=a.bin`
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<Field>,

    /// The file that is its body
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// Which signature; may be repeated
    ///
    /// Without this option it is the first of these that the settings accept.
    #[arg(long, value_enum)]
    scheme: Vec<Kind>,

    /// Sign with the key of this id
    ///
    /// Without this option it is the first one.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
}

/// A kind of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// RFC 9421: this request, once
    Message,
    /// X-Signature: the path, for ever
    Path,
}

impl Kind {
    fn is_accepted(self, security: &Security) -> bool {
        security.schemes.contains(&match self {
            Self::Message => Scheme::Message,
            Self::Path => Scheme::Path,
        })
    }
}

/// A header.
#[derive(Clone, Debug)]
struct Field(HeaderName, HeaderValue);

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.split_once(['=', ':']);
        let (name, value) = split.ok_or("write NAME=VALUE, as in X-Filename=a.bin")?;
        let name = HeaderName::try_from(name.trim());
        let name = name.map_err(|_| "the name of a header is letters, digits and hyphens")?;
        let value = HeaderValue::try_from(value.trim());
        let value = value.map_err(|_| "the value of a header has no line end")?;
        Ok(Self(name, value))
    }
}

impl Sign {
    /// The headers, one per line.
    ///
    /// # Errors
    /// A sentence for whoever called.
    pub(crate) fn headers(self, config: &UploadConfig) -> Result<Vec<u8>, String> {
        let ring = ring(config)?;
        let key = key(&ring, self.key.as_deref())?;
        let kinds = kinds(&config.security, &self.scheme)?;
        let mut headers = HeaderMap::new();
        for Field(name, value) in self.header {
            headers.append(name, value);
        }
        if let Some(file) = &self.body {
            let digest = File::open(file).and_then(message::content_digest);
            let digest = digest.map_err(|error| format!("{}: {error}", file.display()))?;
            headers.insert("content-digest", digest);
        }
        let given = headers.clone();
        let host = self.host.as_ref().unwrap_or(&config.server.bind);
        let host = HeaderValue::try_from(host).map_err(|_| "--host is no host".to_owned())?;
        headers.insert(HOST, host);
        let message = Message {
            method: &self.method,
            uri: &self.path,
            headers: &headers,
            public_base: "",
            is_secure: config.server.tls_cert.is_some(),
        };
        let mut lines = lines(&given);
        lines.extend(signatures(&kinds, key, &message)?);
        Ok(lines)
    }
}

/// The secrets of the server, which must have one.
fn ring(config: &UploadConfig) -> Result<KeyRing, String> {
    let (security, state_dir) = (&config.security, &config.uploads.state_dir);
    let is_given =
        security.secret.is_some() || security.secret_file.is_some() || !security.keys.is_empty();
    let made = state_dir.join("secret");
    if !is_given && std::fs::metadata(&made).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    {
        let made = made.display();
        return Err(format!(
            "there is no secret in {made} yet: the server makes it when it starts"
        ));
    }
    KeyRing::open(security, state_dir).map_err(|error| crate::with_causes(&error))
}

fn key<'r>(ring: &'r KeyRing, id: Option<&str>) -> Result<&'r Key, String> {
    let mut keys = ring.valid();
    let found = match id {
        None => keys.next(),
        Some(id) => keys.find(|key| key.id == id),
    };
    found.ok_or_else(|| match id {
        None => "every key of security.keys has ended".to_owned(),
        Some(id) => format!("security.keys has no key \"{id}\", or it has ended"),
    })
}

/// The signatures to be made: those that were asked for, or the strongest.
fn kinds(security: &Security, asked: &[Kind]) -> Result<Vec<Kind>, String> {
    if !security.enabled {
        return Err("security.enabled is false: requests need no signature".to_owned());
    }
    let is_accepted = |kind: &Kind| kind.is_accepted(security);
    if asked.is_empty() {
        let strongest = Kind::value_variants().iter().copied().find(is_accepted);
        return Ok(strongest.into_iter().collect());
    }
    match asked.iter().all(is_accepted) {
        true => Ok(asked.to_vec()),
        false => Err("security.schemes does not accept that --scheme".to_owned()),
    }
}

fn signatures(kinds: &[Kind], key: &Key, message: &Message<'_>) -> Result<Vec<u8>, String> {
    let mut lines = Vec::new();
    if kinds.contains(&Kind::Path) {
        let signature = path::sign(key.secret.expose(), message.uri.path());
        lines.extend(format!("{}: {signature}\n", path::HEADER).into_bytes());
    }
    if kinds.contains(&Kind::Message) {
        let mut covered = vec!["@method", "@authority", "@path"];
        covered.extend(message.uri.query().map(|_| "@query"));
        let given = message.headers.keys().filter(|name| **name != HOST);
        covered.extend(given.map(HeaderName::as_str));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let signed = message::sign(key, message, &covered, now.as_secs());
        let signed = signed.ok_or("the request cannot be signed: --host, or the id of the key")?;
        for (name, value) in [
            (message::INPUT, &signed.input),
            (message::SIGNATURE, &signed.signature),
        ] {
            lines.extend(line(name, value));
        }
    }
    Ok(lines)
}

fn lines(headers: &HeaderMap) -> Vec<u8> {
    let lines = headers
        .iter()
        .map(|(name, value)| line(name.as_str(), value));
    lines.flatten().collect()
}

fn line(name: &str, value: &HeaderValue) -> Vec<u8> {
    [name.as_bytes(), b": ", value.as_bytes(), b"\n"].concat()
}
