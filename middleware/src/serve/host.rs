use http::header::HOST;
use http::{HeaderMap, Version};

/// Whether a head says where it goes as RFC 9112, section 3.2, asks for: by one `Host` that is one,
/// which HTTP/1.0 and HTTP/2 may leave out.
pub(super) fn is_named(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version != Version::HTTP_11,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// A host, perhaps with a port (RFC 3986, section 3.2.2); empty where the target has none (RFC 9110,
/// section 7.2).
fn is_host(value: &[u8]) -> bool {
    let is_literal = value.first() == Some(&b'[');
    let end = if is_literal { b']' } else { b':' };
    let (host, rest) = match value.iter().position(|byte| *byte == end) {
        // The bracket is its last byte, the colon the first of the port.
        Some(at) => value.split_at(at + usize::from(is_literal)),
        None => (value, &[][..]),
    };
    let is_port = match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let is_host = match host {
        [b'[', address @ .., b']'] => !address.is_empty() && address.iter().all(is_of_address),
        name => name.iter().all(is_of_name),
    };
    is_host && is_port
}

/// Of an `IP-literal`, between its brackets.
fn is_of_address(byte: &u8) -> bool {
    *byte == b':' || is_of_name(byte)
}

/// Of a `reg-name`, escapes included.
fn is_of_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_what_is_none() {
        for host in [
            "",
            "a",
            "a.example",
            "A-b_c~1",
            "10.0.0.1:8080",
            "a:",
            "a:0",
            "[::1]",
            "[::1]:80",
            "[v1.a:b]",
            "%C3%A9.example",
            "a,b",
            ":80",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a, b", "a/b", "user@a", "a:b", "a:80:80", "a:-1", "::1", "[::1", "::1]", "[]",
            "[::1]80", "[::1]:a", "[::1]]", "a[::1]", "a\"b", "a?b", "a#b", "a\\b", "\u{e9}",
            "a\tb",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
