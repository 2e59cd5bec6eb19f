//! The address of a Redis server, which may hold a password.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::kind::{Kind, Wrong, quote};
use super::raw::{Value, ValueKind};
use super::secret::MASK;
use super::text::is_host_name;

/// The address of one Redis server, or of a proxy that stands for several:
///
/// - `redis://[user[:password]@]host[:port][/db]`
/// - `rediss://…`, the same with TLS
/// - `unix:///path?db=N&user=…&pass=…` or `redis+unix:///…`, a Unix socket
///
/// `Debug` and `Display` mask what stands before the `@`, or the values behind the `?`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    pub(super) fn new(url: &str) -> Self {
        Self(url.to_owned())
    }

    /// The whole URL, password included.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str(MASK);
        };
        write!(f, "{scheme}://")?;
        if !is_unix(scheme) {
            return match rest.rsplit_once('@') {
                Some((_, host)) => write!(f, "{MASK}@{host}"),
                None => f.write_str(rest),
            };
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        f.write_str(path)?;
        for (index, pair) in query.split('&').filter(|_| !query.is_empty()).enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some(("db", _)) => f.write_str(pair)?,
                Some((name, _)) => write!(f, "{name}={MASK}")?,
                None => f.write_str(MASK)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Reads a [`RedisUrl`] and never repeats what it found.
pub(super) struct RedisAddress;

impl Kind for RedisAddress {
    type Out = RedisUrl;

    fn read(&self, found: &Value) -> Result<RedisUrl, Vec<Wrong>> {
        let fault = match &found.kind {
            ValueKind::String(text) => match fault(text) {
                None => return Ok(RedisUrl::new(text)),
                Some(fault) => fault,
            },
            _ => Fault::Malformed,
        };
        Err(vec![match fault {
            Fault::Malformed => Wrong::masked(found, EXPECTED),
            Fault::Several => Wrong::because(found, SEVERAL.to_owned()),
            Fault::Unverified => Wrong::because(found, UNVERIFIED.to_owned()),
        }])
    }

    fn show(&self, value: &RedisUrl) -> Option<String> {
        Some(quote(&value.to_string()))
    }
}

const EXPECTED: &str = "an address such as \"redis://127.0.0.1:6379/0\", \
    \"rediss://user:password@redis.example:6380/0\" or \"unix:///run/redis/redis.sock?db=0\" \
    (in a password, %2F stands for /, %3F for ?, %23 for #, %26 for &, %25 for %)";

const SEVERAL: &str = "neither clusters nor sentinels are supported: write the address of one \
    Redis server, such as \"redis://127.0.0.1:6379/0\", or that of a proxy that stands for them \
    (in a password, %2C stands for a comma and %40 for @)";

const UNVERIFIED: &str = "#insecure is not supported: the certificate of the Redis server is \
    always verified";

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Malformed,
    /// It speaks of a cluster, of sentinels or of several servers.
    Several,
    /// It asks not to verify the server's certificate.
    Unverified,
}

fn is_unix(scheme: &str) -> bool {
    matches!(scheme, "unix" | "redis+unix")
}

/// What keeps `url` from being an address, if anything.
fn fault(url: &str) -> Option<Fault> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(Fault::Malformed);
    };
    let lower = scheme.to_ascii_lowercase();
    if lower.contains("sentinel") || lower.contains("cluster") {
        return Some(Fault::Several);
    }
    let of_servers = matches!(scheme, "redis" | "rediss");
    // A comma may stand in a password, so before an `@`.
    let behind = rest.split_once('@').map_or(rest, |(_, behind)| behind);
    if of_servers && behind.contains(',') {
        return Some(Fault::Several);
    }
    if rest.ends_with("#insecure") {
        return Some(Fault::Unverified);
    }
    let visible = rest.bytes().all(|byte| byte.is_ascii_graphic());
    let valid = (of_servers && is_server(rest)) || (is_unix(scheme) && is_socket(rest));
    (!valid || !visible).then_some(Fault::Malformed)
}

/// `[user[:password]@]host[:port][/db]`
fn is_server(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let db = behind.strip_prefix('/').unwrap_or(behind);
    let host_port = authority
        .rsplit_once('@')
        .map_or(authority, |(_, behind)| behind);
    let host_end = host_port.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match host_port[host_end..].find(':') {
        Some(at) => {
            let (host, port) = host_port.split_at(host_end + at);
            (host, &port[1..])
        }
        None => (host_port, "6379"),
    };
    let nonzero = port.parse::<u16>().is_ok_and(|port| port != 0);
    is_host(host) && nonzero && is_number(port) && (db.is_empty() || is_number(db))
}

/// A name or an address that can be connected to; an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        let address = inside.strip_suffix(']').map(str::parse::<Ipv6Addr>);
        return address.is_some_and(|parsed| parsed.is_ok_and(|address| !address.is_unspecified()));
    }
    match host.parse::<Ipv4Addr>() {
        Ok(address) => !address.is_unspecified(),
        // Digits and dots alone are an address that did not parse, never a name.
        Err(_) => host.bytes().any(|byte| byte.is_ascii_alphabetic()) && is_host_name(host),
    }
}

/// `/path[?db=N&user=…&pass=…]`
fn is_socket(rest: &str) -> bool {
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut known = vec!["db", "user", "pass"];
    let mut is_new_pair = |pair: &str| {
        let Some((name, value)) = pair.split_once('=') else {
            return false;
        };
        let Some(at) = known.iter().position(|known| *known == name) else {
            return false;
        };
        known.swap_remove(at);
        name != "db" || is_number(value)
    };
    let pairs = query.is_none_or(|query| query.split('&').all(&mut is_new_pair));
    let absolute = path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/');
    absolute && pairs && !rest.contains('#')
}

/// A whole number without a sign, small enough for a port or a database.
fn is_number(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn secrets_are_masked() {
        let shown = [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            (
                "rediss://user:p@ss@cache.example:6380/1",
                "rediss://***@cache.example:6380/1",
            ),
            ("redis://:word@h", "redis://***@h"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            (
                "unix:///run/a@b.sock?pass=wo@rd&db=1&user=ann",
                "unix:///run/a@b.sock?pass=***&db=1&user=***",
            ),
            (
                "redis+unix:///run/redis.sock?db=2&pass=word=",
                "redis+unix:///run/redis.sock?db=2&pass=***",
            ),
        ];
        for (url, expected) in shown {
            assert_eq!(fault(url), None, "{url}");
            let read = RedisUrl::new(url);
            assert_eq!(format!("{read} {read:?}"), format!("{expected} {expected}"));
            assert_eq!(read.expose(), url);
        }
        // Nothing shows what no address can be.
        assert_eq!(RedisUrl::new(":word@h").to_string(), "***");
        assert_eq!(
            RedisUrl::new("unix:///s?word&p%61ss=word").to_string(),
            "unix:///s?***&p%61ss=***"
        );
    }

    #[test]
    fn addresses() {
        let good = [
            "redis://h",
            "redis://h/",
            "redis://h/15",
            "redis://h:1/0",
            "rediss://:pw@h",
            "redis://user@h",
            "redis://user:p%2Fw,:@my_redis.example.:6380/3",
            "redis://10.0.0.1",
            "redis://[::1]",
            "rediss://u:p@[2001:db8::1]:6379/0",
            "unix:///s",
            "redis+unix:///run/redis,1.sock?user=a&pass=b,c",
            "unix:///s?db=0",
        ];
        let bad = [
            "",
            "h",
            "h:1",
            "http://h",
            "redis:h",
            "Redis://h",
            "redis://",
            "redis:///0",
            "redis://a b",
            "redis://ü",
            "redis://user:pw@",
            "redis://h:",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:+1",
            "redis://h:1:2",
            "redis://[::1",
            "redis://[::1]x",
            "redis://::1",
            "redis://0.0.0.0",
            "redis://[::]:6379",
            "redis://300.0.0.1",
            "redis://-h",
            "redis://h/x",
            "redis://h/-1",
            "redis://h/0/",
            "redis://h/0?x=1",
            "redis://h?db=1",
            "redis://h#x",
            "redis://:p/w@h",
            "redis://:p#w@h",
            "unix://",
            "unix:///",
            "unix://s",
            "unix:////s",
            "unix:///s/",
            "unix:///s?",
            "unix:///s?db=x",
            "unix:///s?db=",
            "unix:///s?db=1&db=2",
            "unix:///s?pass",
            "unix:///s?password=x",
            "unix:///s?pass=a&b",
            "unix:///s?pass=a#b",
            "unix:///a b",
        ];
        for url in good {
            assert_eq!(fault(url), None, "{url}");
        }
        for url in bad {
            assert_eq!(fault(url), Some(Fault::Malformed), "{url}");
        }
        for url in ["rediss://h#insecure", "rediss://u:p@h:1/0#insecure"] {
            assert_eq!(fault(url), Some(Fault::Unverified), "{url}");
        }
    }

    #[test]
    fn several_servers() {
        let several = [
            "redis+sentinel://h:26379/mymaster/0",
            "redis-sentinel://h",
            "rediss+sentinel://h",
            "sentinel://h",
            "redis+cluster://h",
            "redis-cluster://h",
            "rediss+cluster://h",
            "REDIS-CLUSTER://h",
            "redis://h1:1,h2:2/0",
            "redis://h1,redis://h2",
            "rediss://u:p@h1:1,h2:2",
            "redis://u:p@h1:1/0,redis://u:p@h2:1/0",
            "redis://u:p@h1:1,u:p@h2:1",
        ];
        for url in several {
            assert_eq!(fault(url), Some(Fault::Several), "{url}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_write_and_never_what_was_found() {
        let word = "5f4dcc3b5aa7";
        for (url, expected) in [
            (format!("http://:{word}@h"), "expected an address such as"),
            (format!("redis+sentinel://:{word}@h"), "one Redis server"),
            (format!("redis://:{word}@h1,h2"), "one Redis server"),
            (format!("rediss://:{word}@h#insecure"), "always verified"),
            (
                format!("unix:///s?password={word}"),
                "a text is not allowed",
            ),
        ] {
            let found = Value::new(None, ValueKind::String(url.clone()));
            let wrongs = RedisAddress.read(&found).unwrap_err();
            assert_eq!(wrongs.len(), 1);
            assert!(wrongs[0].text.contains(expected), "{}", wrongs[0].text);
            assert!(!wrongs[0].text.contains(word), "{}", wrongs[0].text);
        }
        let number = Value::new(None, ValueKind::I64(6379));
        let wrongs = RedisAddress.read(&number).unwrap_err();
        assert!(wrongs[0].text.starts_with("a number is not allowed"));
    }
}
