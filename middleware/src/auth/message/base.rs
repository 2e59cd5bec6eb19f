//! The signature base (RFC 9421 section 2.5): a line for each covered component, and one for what
//! is covered and how. Names hold no quote and values no line end, so two requests that differ in
//! what is covered have two bases.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::HOST;
use http::uri::Scheme;
use sfv::{InnerList, Item, ListSerializer};
use sha2::Sha256;

use super::Message;
use crate::auth::Denied;

/// Characters of a client's text that are repeated to it.
const REPEATED_MAX: usize = 80;

/// What is signed of `message` by a signature that covers `covered`, if the client's path begins with
/// `prefix`.
///
/// # Errors
/// [`Denied::Unsupported`], [`Denied::Absent`], or [`Denied::Malformed`] where a component is
/// covered twice.
pub(super) fn base(
    message: &Message<'_>,
    covered: &InnerList,
    prefix: &str,
) -> Result<Vec<u8>, Denied> {
    let (mut base, mut seen) = (Vec::with_capacity(512), BTreeSet::new());
    for item in &covered.items {
        let name = component(item)?;
        if !seen.insert(name) {
            return Err(Denied::Malformed("it covers a component twice"));
        }
        append(&mut base, name, |base| value(message, name, prefix, base))?;
    }
    append(&mut base, "@signature-params", |base| {
        base.extend_from_slice(parameters(covered).as_bytes());
        Some(())
    })?;
    // The last line has no end.
    base.pop();
    Ok(base)
}

fn append(
    base: &mut Vec<u8>,
    name: &str,
    value: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Result<(), Denied> {
    base.push(b'"');
    base.extend_from_slice(name.as_bytes());
    base.extend_from_slice(b"\": ");
    value(base).ok_or_else(|| Denied::Absent(shortened(name)))?;
    base.push(b'\n');
    Ok(())
}

/// The name of a covered component. Those with parameters, which pick a part of a field or read it
/// in another way, have no use here.
pub(super) fn component(item: &Item) -> Result<&str, Denied> {
    const DERIVED: [&str; 5] = [
        "@method",
        "@authority",
        "@path",
        "@query",
        "@request-target",
    ];
    let name = item.bare_item.as_string();
    let name = name
        .ok_or(Denied::Malformed("a component is no string"))?
        .as_str();
    let is_field = name.bytes().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    });
    let is_known = (is_field && !name.is_empty()) || DERIVED.contains(&name);
    match is_known && item.params.is_empty() {
        true => Ok(name),
        false => Err(Denied::Unsupported(shortened(name))),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(REPEATED_MAX).collect()
}

/// The value of `@signature-params`, in the one form it can have.
pub(super) fn parameters(covered: &InnerList) -> String {
    let mut list = ListSerializer::new();
    let mut inner = list.inner_list();
    inner.items(&covered.items);
    let _ = inner.finish().parameters(&covered.params);
    list.finish().unwrap_or_default()
}

/// Adds the value of a component, if the request has it (RFC 9421 sections 2.1 and 2.2).
fn value(message: &Message<'_>, name: &str, prefix: &str, base: &mut Vec<u8>) -> Option<()> {
    let uri = message.uri;
    match name {
        "@method" => base.extend_from_slice(message.method.as_str().as_bytes()),
        "@authority" => base.extend_from_slice(authority(message)?.as_bytes()),
        "@path" => base.extend_from_slice(format!("{prefix}{}", uri.path()).as_bytes()),
        "@query" => {
            base.extend_from_slice(format!("?{}", uri.query().unwrap_or_default()).as_bytes());
        }
        "@request-target" => {
            // Of an absolute target without a path it is `/`, as in `@path`; where there is none, as in
            // `CONNECT`, nothing of ours is asked for.
            let path = Some(uri.path())
                .filter(|path| !path.is_empty())
                .unwrap_or("/");
            base.extend_from_slice(format!("{prefix}{path}").as_bytes());
            if let Some(query) = uri.query() {
                base.extend_from_slice(format!("?{query}").as_bytes());
            }
        }
        _ => return field(message, name, base),
    }
    Some(())
}

/// All values of a field, each without the blanks around it, as one list.
fn field(message: &Message<'_>, name: &str, base: &mut Vec<u8>) -> Option<()> {
    let mut values = message.headers.get_all(name).iter();
    base.extend_from_slice(values.next()?.as_bytes().trim_ascii());
    for value in values {
        base.extend_from_slice(b", ");
        base.extend_from_slice(value.as_bytes().trim_ascii());
    }
    Some(())
}

/// Where the request went: in lower case, without the port that goes without saying.
fn authority(message: &Message<'_>) -> Option<String> {
    let named = match message.uri.authority() {
        Some(authority) => authority.as_str(),
        None => {
            let mut hosts = message.headers.get_all(HOST).iter();
            let host = hosts.next()?.to_str().ok()?;
            match hosts.next() {
                None => host,
                Some(_) => return None,
            }
        }
    };
    if named.is_empty() || named.contains('@') {
        return None;
    }
    let named = named.to_ascii_lowercase();
    let is_secure = message.is_secure || message.uri.scheme() == Some(&Scheme::HTTPS);
    let port = if is_secure { ":443" } else { ":80" };
    let bare = named.strip_suffix(port).filter(|bare| !bare.ends_with(':'));
    Some(bare.map_or_else(|| named.clone(), str::to_owned))
}

/// The code of `base` by a key.
#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
pub(super) fn code(secret: &[u8], base: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key length is valid");
    mac.chain_update(base)
}
