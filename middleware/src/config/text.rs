//! Checks of texts, as used by [`Text`](super::kind::Text).

use std::net::{Ipv6Addr, SocketAddr};

const HEADERS_NEVER_FORWARDED: &[&str] = &[
    "host",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "forwarded",
    "x-signature",
    "signature",
    "signature-input",
    "idempotency-key",
];
const HEADER_FAMILIES_NEVER_FORWARDED: &[&str] = &["content-", "proxy-", "x-forwarded-"];

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// A header that the hand-off may carry over from the request that created the upload: not one
/// that describes another body, names a hop, or vouches for the request it came with.
pub(super) fn is_forwardable_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_token(&name)
        && !HEADERS_NEVER_FORWARDED.contains(&name.as_str())
        && !HEADER_FAMILIES_NEVER_FORWARDED
            .iter()
            .any(|family| name.starts_with(family))
}

/// A method in upper case that may have a body.
pub(super) fn is_body_method(method: &str) -> bool {
    let bodyless = ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    let upper = method
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
    !method.is_empty() && upper && !bodyless.contains(&method)
}

/// An absolute path as it stands in a request line: no query, no dot segments, percent-encoded
/// where it must be (RFC 3986, section 3.3).
pub(super) fn is_url_path(path: &str) -> bool {
    let is_pchar =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    let encoded = path
        .split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()));
    let plain = !path
        .split('/')
        .any(|segment| segment == "." || segment == "..");
    path.starts_with('/')
        && path.bytes().all(is_pchar)
        && encoded
        && plain
        && !path.starts_with("//")
}

/// Nothing, or a path that does not end in a slash: the prefix of another path.
pub(super) fn is_url_prefix(prefix: &str) -> bool {
    prefix.is_empty() || (is_url_path(prefix) && !prefix.ends_with('/'))
}

/// 1 to 32 of `a-z`, `0-9` and `-`. No dot: it separates the name from the rest of a session id.
pub(super) fn is_server_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// `host:port`, where the host is an address (IPv6 in brackets) or a name.
pub(super) fn is_host_port(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    // Digits and dots alone are an address that did not parse, never a name.
    let name = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    digits && port.parse::<u16>().is_ok() && name && is_host_name(host)
}

/// Labels of letters, digits, `-` and `_`, with dots between them.
pub(super) fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.trim_end_matches('.').split('.').all(is_label)
}

/// `http://host` or `https://host:port`, nothing behind it.
pub(super) fn is_origin(url: &str) -> bool {
    let Some(authority) = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
    else {
        return false;
    };
    let is_bare_v6 = |text: &str| {
        let inside = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        inside.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
    };
    is_host_port(authority) || is_host_name(authority) || is_bare_v6(authority)
}

/// Visible ASCII without spaces.
pub(super) fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The name of a form field: short and without control characters, for it becomes part of a header, and
/// without `\`, which escapes what follows it for some readers and not for others.
pub(crate) fn is_field_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && !text.contains('\\') && !text.chars().any(char::is_control)
}

/// The name of a network interface, `*` and `?` standing for any characters and any one.
pub(super) fn is_interface_pattern(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"/[]{}\\,\"'".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// A level, or levels per target: `info`, `info,steadfast=debug`.
pub(super) fn is_log_filter(text: &str) -> bool {
    let is_level = |word: &str| {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        levels.iter().any(|level| word.eq_ignore_ascii_case(level))
    };
    let is_target = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-:.".contains(&byte))
    };
    text.split(',')
        .all(|directive| match directive.trim().split_once('=') {
            None => is_level(directive.trim()),
            Some((target, level)) => is_target(target) && is_level(level),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of `texts` pass, so that a failure names the one that went the wrong way.
    fn passing<'a>(check: fn(&str) -> bool, texts: &[&'a str]) -> Vec<&'a str> {
        texts.iter().copied().filter(|text| check(text)).collect()
    }

    fn assert_split(check: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        assert_eq!(passing(check, good), good);
        assert_eq!(passing(check, bad), [""; 0]);
    }

    #[test]
    fn headers() {
        let bad = [
            "",
            "Host",
            "Content-Type",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "keep-alive",
            "TE",
            "Trailer",
            "Upgrade",
            "Proxy-Authorization",
            "Forwarded",
            "X-Forwarded-For",
            "X-Signature",
            "Idempotency-Key",
            "a b",
            "a:",
        ];
        assert_split(
            is_forwardable_header,
            &["Authorization", "x-tenant", "Cookie", "X-Forward"],
            &bad,
        );
    }

    #[test]
    fn methods() {
        assert_split(
            is_body_method,
            &["POST", "PUT", "PATCH", "X-UPLOAD"],
            &["", "post", "GET", "HEAD", "PO ST"],
        );
    }

    #[test]
    fn paths() {
        let good = ["/", "/upload", "/a/b%20c", "/a/", "/~me/;v=1"];
        let bad = [
            "", "upload", "/a b", "/a?x=1", "/a#b", "/a/../b", "/.", "//host", "/%2", "/%zz", "/ü",
            "/a\\b", "/a\r\nb",
        ];
        assert_split(is_url_path, &good, &bad);
        assert_split(is_url_prefix, &["", "/x", "/x/y"], &["/", "/x/", "x"]);
    }

    #[test]
    fn hosts() {
        let good = [
            "127.0.0.1:8080",
            "[::1]:80",
            "localhost:8080",
            "a-b.example:0",
            "0.0.0.0:65535",
        ];
        let bad = [
            "",
            "localhost",
            ":8080",
            "8080",
            "localhost:65536",
            "300.0.0.1:80",
            "::1:80",
            "a b:80",
            "-a:80",
            "a:+80",
        ];
        assert_split(is_host_port, &good, &bad);
        let good = [
            "http://a.example",
            "https://a.example:8443",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://[::1]",
        ];
        let bad = [
            "",
            "a.example",
            "ftp://a",
            "http://",
            "http://a/",
            "http://a/b",
            "http://u@a",
            "http://a?x",
        ];
        assert_split(is_origin, &good, &bad);
    }

    #[test]
    fn names_and_filters() {
        assert_split(
            is_server_name,
            &["a", "node-1", &"x".repeat(32)],
            &["", "A", "a.b", "a_b", &"x".repeat(33)],
        );
        assert_split(
            is_interface_pattern,
            &["*", "eth?", "veth*", "enp3s0.10"],
            &["", "a b", "a/b", "{a}"],
        );
        assert_split(
            is_log_filter,
            &[
                "info",
                "WARN",
                "info,steadfast=debug",
                "off, steadfast::engine=trace",
            ],
            &[
                "",
                "inof",
                "info,",
                "steadfast",
                "steadfast=",
                "=info",
                "steadfast=inof",
            ],
        );
        assert_split(
            is_field_name,
            &["file", "my file"],
            &["", "a\nb", "a\\", &"x".repeat(129)],
        );
        assert_split(is_visible, &["k1"], &["", "a b", "ü"]);
    }
}
