#![allow(clippy::unwrap_used)]

use http::HeaderValue;

use super::*;

const CLIENT: &str = "203.0.113.9";

/// The address of a request with these header lines, from a proxy at 10.0.0.5.
fn from_proxy(lines: &[(&'static str, &str)]) -> Result<String, Unknown> {
    from("10.0.0.5:4711", lines)
}

fn from(peer: &str, lines: &[(&'static str, &str)]) -> Result<String, Unknown> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(*name, value);
    }
    let trusted =
        ["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"].map(|text| Cidr::parse(text).unwrap());
    let peer = PeerAddr(peer.parse().unwrap());
    client(Some(peer), &headers, &trusted).map(|address| address.to_string())
}

#[test]
fn nobody_else_is_believed() {
    let lines = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "1.1.1.1")];
    assert_eq!(from("203.0.113.9:1", &lines), Ok(CLIENT.to_owned()));
    assert_eq!(
        from("[::ffff:203.0.113.9]:1", &lines),
        Ok(CLIENT.to_owned())
    );
    // An IPv4 proxy of a listener for both families is a proxy.
    assert_eq!(
        from("[::ffff:10.0.0.5]:1", &lines),
        Ok("1.1.1.1".to_owned())
    );
    let none = client(None, &HeaderMap::new(), &[]);
    assert_eq!(none, Err(Unknown::Peer));
}

#[test]
fn the_client_is_the_rightmost_that_is_no_proxy() {
    // (X-Forwarded-For, address)
    for (list, address) in [
        ("203.0.113.9", CLIENT),
        ("1.1.1.1, 203.0.113.9", CLIENT),
        ("1.1.1.1,203.0.113.9\t", CLIENT),
        ("203.0.113.9, 10.9.9.9, 192.0.2.7", CLIENT),
        ("203.0.113.9, 2001:db8:1::2", CLIENT),
        ("203.0.113.9:8080", CLIENT),
        ("::ffff:203.0.113.9", CLIENT),
        ("2001:db8:2::1", "2001:db8:2::1"),
        ("[2001:db8:2::1]", "2001:db8:2::1"),
        ("[2001:db8:2::1]:443", "2001:db8:2::1"),
        // What a client writes is left of what its proxy adds.
        ("garbage, 203.0.113.9", CLIENT),
        (", , 203.0.113.9", CLIENT),
        ("10.0.0.1, 203.0.113.9", CLIENT),
        // A proxy asks for itself.
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
    ] {
        let found = from_proxy(&[("x-forwarded-for", list)]);
        assert_eq!(found, Ok(address.to_owned()), "{list}");
    }
    assert_eq!(from_proxy(&[]), Ok("10.0.0.5".to_owned()));
}

#[test]
fn forwarded_is_read_by_its_standard() {
    for (list, address) in [
        ("for=203.0.113.9", CLIENT),
        ("FOR=203.0.113.9;proto=https;by=10.0.0.5", CLIENT),
        ("by=_x;for=\"203.0.113.9:4711\"", CLIENT),
        ("for=\"203.0.113.9:_port\"", CLIENT),
        ("for=\"\\203.0.113.9\"", CLIENT),
        ("for=\"[2001:db8:2::1]\"", "2001:db8:2::1"),
        ("for=\"[2001:db8:2::1]:4711\"", "2001:db8:2::1"),
        ("for=\"[::ffff:203.0.113.9]\"", CLIENT),
        ("for=1.1.1.1, for=203.0.113.9 ,\tfor=10.1.1.1", CLIENT),
        ("for=unknown, for=203.0.113.9", CLIENT),
        ("proto=http, for=203.0.113.9", CLIENT),
        ("for=\"a,b\", for=203.0.113.9", ""),
        ("host=\"a,;b\\\"\";for=203.0.113.9", CLIENT),
        ("for=10.1.1.1", "10.1.1.1"),
    ] {
        let found = from_proxy(&[("forwarded", list)]);
        let address = Some(address).filter(|address| !address.is_empty());
        assert_eq!(found.ok().as_deref(), address, "{list}");
    }
}

#[test]
fn what_tells_nothing_is_nobodys_address() {
    for list in [
        "",
        ",",
        "for",
        "for=",
        "for=;",
        "=1.1.1.1",
        "for =1.1.1.1",
        "for= 1.1.1.1",
        "for=1.1.1.1;",
        "for=1.1.1.1,",
        "for=1.1.1.1 for=2.2.2.2",
        "for=1.1.1.1;for=2.2.2.2",
        "for=1.1.1.1;FOR=1.1.1.1",
        "for=1.1.1.1; proto=http",
        "for=2001:db8:2::1",
        "for=\"2001:db8:2::1\"",
        "for=[2001:db8:2::1]",
        "for=\"[2001:db8:2::1\"",
        "for=\"[2001:db8:2::1%eth0]\"",
        "for=\"[203.0.113.9]\"",
        "for=\"203.0.113.9:\"",
        "for=\"203.0.113.9:+1\"",
        "for=\"203.0.113.9:123456\"",
        "for=203.0.113.09",
        "for=203.0.113",
        "for=unknown",
        "for=_hidden",
        "for=_",
        "for=localhost",
        "proto=https",
        // Begun by a client, so that it swallows what its proxy adds.
        "for=\"1.1.1.1, for=203.0.113.9",
        "for=\"1.1.1.1\\\", for=203.0.113.9\"",
    ] {
        let found = from_proxy(&[("forwarded", list)]);
        assert_eq!(found, Err(Unknown::Client), "{list}");
    }
    for list in [
        "",
        ",",
        "203.0.113.9,",
        "unknown",
        "_hidden",
        "for=203.0.113.9",
        "203.0.113.9 10.1.1.1",
        "203.0.113.9:x",
        "203.0.113.9/32",
        "\"203.0.113.9\"",
        "203.0.113.9;10.1.1.1",
        "fe80::1%eth0",
        "203.0.113.9, unknown, 10.1.1.1",
        "203.0.113.9, localhost",
        "203.0.113.9, \u{e9}",
    ] {
        let found = from_proxy(&[("x-forwarded-for", list)]);
        assert_eq!(found, Err(Unknown::Client), "{list}");
    }
}

#[test]
fn lines_are_one_list() {
    let forwarded_for = |lines: [&str; 2]| from_proxy(&lines.map(|line| ("x-forwarded-for", line)));
    assert_eq!(
        forwarded_for(["1.1.1.1", "203.0.113.9"]),
        Ok(CLIENT.to_owned())
    );
    assert_eq!(
        forwarded_for(["203.0.113.9", "10.1.1.1"]),
        Ok(CLIENT.to_owned())
    );
    let quoted = [
        ("forwarded", "for=\"a"),
        ("forwarded", "b\";for=203.0.113.9"),
    ];
    assert_eq!(from_proxy(&quoted), Err(Unknown::Client));
}

/// A proxy that sets one header passes on what its client wrote in the other.
#[test]
fn two_headers_must_agree() {
    let both =
        |forwarded, usual| from_proxy(&[("forwarded", forwarded), ("x-forwarded-for", usual)]);
    assert_eq!(
        both("for=203.0.113.9", "203.0.113.9"),
        Ok(CLIENT.to_owned())
    );
    assert_eq!(
        both("for=203.0.113.9", "203.0.113.9, 10.1.1.1"),
        Ok(CLIENT.to_owned())
    );
    for (forwarded, usual) in [
        ("for=10.0.0.9", "203.0.113.9"),
        ("for=203.0.113.9", "10.0.0.9"),
        ("for=unknown", "203.0.113.9"),
        ("", "203.0.113.9"),
        ("for=203.0.113.9", ""),
    ] {
        assert_eq!(
            both(forwarded, usual),
            Err(Unknown::Client),
            "{forwarded} {usual}"
        );
    }
}
