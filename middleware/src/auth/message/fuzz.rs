//! What fuzzers try of signatures.

#![allow(clippy::unwrap_used, reason = "checks panic")]

use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use sfv::{InnerList, ListEntry, Parser};

use super::base::{base, parameters};
use super::fields::candidates;
use super::{INPUT, Message, SIGNATURE, Window, sign, verify};
use crate::auth::{Key, KeyRing};
use crate::config::Secret;
use crate::upload::Timestamp;

const NOW: u64 = 1_700_000_000;
const WINDOW: Window = Window {
    now: Timestamp(NOW * 1_000),
    max_skew: Duration::from_secs(300),
};

fn key() -> Key {
    Key {
        id: "robots".to_owned(),
        secret: Secret::new(b"0123456789abcdef0123456789abcdef".to_vec()).unwrap(),
        not_after: None,
    }
}

/// A request over TLS, where it says so.
fn message(parts: &Parts) -> Message<'_> {
    Message {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        public_base: "",
        is_secure: parts.headers.contains_key("x-secure"),
    }
}

/// What is signed of a request can be read back, so that two requests that differ in it have two
/// bases; and a signature of the first request passes on the second where nothing covered differs.
pub(crate) fn signature(first: &Parts, second: &Parts) {
    let ring = KeyRing::new(vec![key()]);
    let _ = verify(&ring, &message(first), &[], WINDOW);
    let Ok(candidates) = candidates(&first.headers) else {
        return;
    };
    for candidate in candidates {
        let _ = candidate.parameters();
        let prefix = prefix(first);
        let Ok(base) = base(&message(first), &candidate.covered, prefix) else {
            continue;
        };
        assert_reads_back(&base, &message(first), &candidate.covered, prefix);
        assert_passes_on(first, second, &ring, &names(&candidate.covered));
    }
}

/// Behind a proxy that takes `/p` off, where the request says so.
fn prefix(parts: &Parts) -> &'static str {
    match parts.headers.contains_key("x-prefix") {
        true => "/p",
        false => "",
    }
}

fn names(covered: &InnerList) -> Vec<&str> {
    let items = covered.items.iter();
    items
        .map(|item| item.bare_item.as_string().unwrap().as_str())
        .collect()
}

fn assert_reads_back(base: &[u8], message: &Message<'_>, covered: &InnerList, prefix: &str) {
    let mut lines = base.split(|byte| *byte == b'\n');
    for name in names(covered) {
        let line = lines.next().unwrap();
        let expected = format!("\"{name}\": ");
        let read = line.strip_prefix(expected.as_bytes()).unwrap();
        assert_eq!(read, value(message, name, prefix).unwrap(), "{name}");
    }
    let last = lines.next().unwrap();
    assert_eq!(lines.next(), None);
    let text = last.strip_prefix(b"\"@signature-params\": ").unwrap();
    assert_eq!(text, parameters(covered).as_bytes());
    let read: sfv::List = Parser::new(text).parse().unwrap();
    assert_eq!(read, [ListEntry::InnerList(covered.clone())]);
}

/// The value of a component, by another way than the product's.
fn value(message: &Message<'_>, name: &str, prefix: &str) -> Option<Vec<u8>> {
    let (path, query) = (message.uri.path(), message.uri.query());
    let text = match name {
        "@method" => message.method.to_string(),
        "@path" => [prefix, path].concat(),
        "@query" => format!("?{}", query.unwrap_or("")),
        // Where there is no path, as in `CONNECT`, nothing of ours is asked for.
        "@request-target" if message.uri.path_and_query().is_none() => [prefix, "/"].concat(),
        "@request-target" => {
            let query = query.map_or(String::new(), |query| format!("?{query}"));
            [prefix, path, &query].concat()
        }
        "@authority" => authority(message)?,
        _ => {
            let values: Vec<_> = message.headers.get_all(name).iter().collect();
            let trimmed: Vec<_> = values.iter().map(|v| v.as_bytes().trim_ascii()).collect();
            return (!values.is_empty()).then(|| trimmed.join(&b", "[..]));
        }
    };
    Some(text.into_bytes())
}

fn authority(message: &Message<'_>) -> Option<String> {
    let named = match message.uri.authority() {
        Some(authority) => authority.to_string(),
        None => message.headers.get(HOST)?.to_str().ok()?.to_owned(),
    };
    let secure = message.is_secure || message.uri.scheme_str() == Some("https");
    let named = named.to_lowercase();
    Some(match named.rsplit_once(':') {
        Some((host, "443")) if secure && !host.ends_with(':') => host.to_owned(),
        Some((host, "80")) if !secure && !host.ends_with(':') => host.to_owned(),
        _ => named,
    })
}

fn assert_passes_on(first: &Parts, second: &Parts, ring: &KeyRing, covered: &[&str]) {
    if covered.iter().any(|name| [INPUT, SIGNATURE].contains(name)) {
        return;
    }
    let signed = sign(&key(), &message(first), covered, NOW).unwrap();
    let mut same = true;
    for parts in [first, second] {
        let mut parts = parts.clone();
        parts.headers.insert(INPUT, signed.input.clone());
        parts.headers.insert(SIGNATURE, signed.signature.clone());
        for name in covered {
            let one_host = parts.headers.get_all(HOST).iter().count() < 2;
            let read = value(&message(&parts), name, "");
            let is_clear = *name != "@authority" || one_host || parts.uri.authority().is_some();
            same &= is_clear && read == value(&message(first), name, "");
        }
        let verified = verify(ring, &message(&parts), &[], WINDOW);
        assert_eq!(verified.is_ok(), same, "{verified:?}");
    }
}
