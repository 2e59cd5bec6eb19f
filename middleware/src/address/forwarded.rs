//! What the two headers say: whom each proxy was asked by, in order. `None` inside of a list is a
//! hop whose address is not told; `None` instead of one is a header that is malformed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

type Hops = Vec<Option<IpAddr>>;

/// RFC 7239 section 6.2.
const PORT_DIGITS_MAX: usize = 5;
/// Parameters of a hop; the RFC knows four.
const PAIRS_MAX: usize = 16;

/// `Forwarded` (RFC 7239 section 4), to the letter. A client may have begun what its proxy ends, such
/// as a quoted string: nothing of a list counts that is not well-formed as a whole.
pub(super) fn standard(list: &str) -> Option<Hops> {
    let mut rest = list.trim_matches(BLANK);
    let mut hops = Vec::new();
    loop {
        let (hop, after) = element(rest)?;
        hops.push(hop);
        let after = after.trim_start_matches(BLANK);
        if after.is_empty() {
            return Some(hops);
        }
        rest = after.strip_prefix(',')?.trim_start_matches(BLANK);
    }
}

const BLANK: [char; 2] = [' ', '\t'];

/// One hop: `name=value` pairs between semicolons, each name once, and not many of them.
fn element(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let (mut names, mut hop, mut rest) = (Vec::new(), None, text);
    loop {
        let (name, after) = token(rest)?;
        let name = name.to_ascii_lowercase();
        let (value, after) = value(after.strip_prefix('=')?)?;
        if name == "for" {
            hop = node(&value)?;
        }
        if names.len() == PAIRS_MAX || names.contains(&name) {
            return None;
        }
        names.push(name);
        match after.strip_prefix(';') {
            Some(after) => rest = after,
            None => return Some((hop, after)),
        }
    }
}

/// RFC 9110 section 5.6.2.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_in_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_in_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token, or a quoted string (RFC 9110 section 5.6.4).
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(token, rest)| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// RFC 7239 section 6: an IPv4 address, an IPv6 address in brackets, `unknown`, or a name that hides
/// it; each may have a port. The outer `None` is none of these.
fn node(text: &str) -> Option<Option<IpAddr>> {
    let (name, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, port) = inner.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            return is_port(port).then_some(Some(IpAddr::V6(address).to_canonical()));
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if !is_port(port) {
        return None;
    }
    if name.eq_ignore_ascii_case("unknown") || is_hidden(name) {
        return Some(None);
    }
    name.parse()
        .ok()
        .map(|address: Ipv4Addr| Some(address.into()))
}

/// `_` and at least one of the characters that stand for what is hidden.
fn is_hidden(name: &str) -> bool {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() > 1 && name.starts_with('_') && name.chars().all(is_in_name)
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else {
        return text.is_empty();
    };
    let is_number = (1..=PORT_DIGITS_MAX).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number || is_hidden(port)
}

/// `X-Forwarded-For`, which no standard describes: addresses between commas; some proxies add a port,
/// and brackets around an IPv6 address.
pub(super) fn usual(list: &str) -> Option<Hops> {
    let hop = |text: &str| {
        let text = text.trim_matches(BLANK);
        let plain = text
            .parse()
            .ok()
            .map(|address: IpAddr| address.to_canonical());
        plain.or_else(|| node(text).flatten())
    };
    Some(list.split(',').map(hop).collect())
}
