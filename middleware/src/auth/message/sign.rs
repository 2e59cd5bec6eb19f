use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use http::HeaderValue;
use sfv::{BareItem, DictSerializer, InnerList, Item, Key as Name, KeyRef, Parameters};

use sha2::{Digest as _, Sha256};

use super::base::{base, code};
use super::{ALGORITHM, Message};
use crate::auth::Key;

/// Bytes that are read at once.
const READ_LEN: usize = 256 << 10;

/// What a signature of ours is called.
const LABEL: &str = "steadfast";

/// The headers of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `Signature-Input`
    pub input: HeaderValue,
    /// `Signature`
    pub signature: HeaderValue,
}

/// `Content-Digest` of a body (RFC 9530), by SHA-256.
///
/// # Errors
/// Those of reading it.
pub fn content_digest(mut body: impl Read) -> io::Result<HeaderValue> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; READ_LEN]);
    loop {
        match body.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => hash.update(&piece[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = STANDARD.encode(hash.finalize());
    HeaderValue::try_from(format!("sha-256=:{digest}:")).map_err(io::Error::other)
}

/// Signs the components `covered` of a request with a key, at `created` (seconds since 1970), to be
/// used once. `None` where the request lacks one of them, the key's id is not visible ASCII, or the
/// system has no random bytes.
#[must_use]
pub fn sign(key: &Key, message: &Message<'_>, covered: &[&str], created: u64) -> Option<Signed> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).ok()?;
    let text = |text: &str| sfv::String::from_string(text.to_owned()).ok();
    let items = covered.iter().map(|name| text(name).map(Item::new));
    let created = sfv::Integer::try_from(created).ok()?;
    let params: [(&str, BareItem); 4] = [
        ("created", created.into()),
        ("keyid", BareItem::String(text(&key.id)?)),
        ("alg", BareItem::String(text(ALGORITHM)?)),
        ("nonce", BareItem::String(text(&hex::encode(nonce))?)),
    ];
    let params = params.into_iter().map(|(name, value)| {
        let name = Name::from_string(name.to_owned()).ok()?;
        Some((name, value))
    });
    let covered = InnerList {
        items: items.collect::<Option<_>>()?,
        params: params.collect::<Option<Parameters>>()?,
    };
    let signed = base(message, &covered, "").ok()?;
    let code = code(key.secret.expose(), &signed).finalize().into_bytes();
    let label = KeyRef::from_str(LABEL).ok()?;
    let mut input = DictSerializer::new();
    let mut inner = input.inner_list(label);
    inner.items(&covered.items);
    let _ = inner.finish().parameters(&covered.params);
    let mut signature = DictSerializer::new();
    let _ = signature.bare_item(label, code.as_slice());
    Some(Signed {
        input: HeaderValue::try_from(input.finish()?).ok()?,
        signature: HeaderValue::try_from(signature.finish()?).ok()?,
    })
}
