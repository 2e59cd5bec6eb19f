//! Against the text of the RFC, and by values; other implementations sign in the integration tests.

use std::time::Duration;

use http::{HeaderMap, Method, Uri};

use super::*;
use crate::auth::{Denied, Key, KeyRing};
use crate::config::Secret;
use crate::upload::Timestamp;

const NOW: u64 = 1_700_000_000;
const WINDOW: Window = Window {
    now: Timestamp(NOW * 1_000),
    max_skew: Duration::from_secs(300),
};
const REQUIRED: [&str; 3] = ["@authority", "@method", "@path"];
const INPUT_OF_US: &str = r#"("@method" "@authority" "@path" "x-filename" "@query" "x-two");created=1700000000;keyid="robots";nonce="n1""#;

/// A request that can be changed and looked at.
#[derive(Clone)]
struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    public_base: &'static str,
}

impl Request {
    fn new() -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "Files.Example:80"),
            ("x-filename", "  a b.bin "),
            ("x-two", "one"),
            ("x-two", " two"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        Self {
            method: Method::POST,
            uri: "/upload/chunked?a=%2f&b".parse().unwrap(),
            headers,
            public_base: "",
        }
    }

    fn message(&self) -> Message<'_> {
        Message {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            public_base: self.public_base,
            is_secure: false,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// Signed as `input` says, by a key, whatever sense that makes.
    fn signed_as(self, input: &str, secret: &[u8]) -> Self {
        let signed = self
            .clone()
            .with(INPUT, &format!("s={input}"))
            .with(SIGNATURE, "s=:AA==:");
        let candidates = fields::candidates(&signed.headers).unwrap();
        let text = base::base(&self.message(), &candidates[0].covered, "");
        let code = hmac::Mac::finalize(base::code(secret, &text.unwrap_or_default())).into_bytes();
        let code = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, code);
        signed.with(SIGNATURE, &format!("s=:{code}:"))
    }

    fn signed(self) -> Self {
        self.signed_as(INPUT_OF_US, SECRET)
    }

    fn verify(&self, required: &[&'static str]) -> Result<String, Denied> {
        let ring = ring();
        let verified = verify(&ring, &self.message(), required, WINDOW)?;
        Ok(verified.key_id.to_owned())
    }
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn ring() -> KeyRing {
    KeyRing::of("robots", Secret::new(SECRET.to_vec()).unwrap())
}

/// Section 2.5, of a request as the RFC's own examples are.
#[test]
fn the_base_is_one_line_for_each_component() {
    let request = Request::new().signed();
    let candidates = fields::candidates(&request.headers).unwrap();
    let base = base::base(&request.message(), &candidates[0].covered, "").unwrap();
    let expected = format!(
        "\"@method\": POST\n\
         \"@authority\": files.example\n\
         \"@path\": /upload/chunked\n\
         \"x-filename\": a b.bin\n\
         \"@query\": ?a=%2f&b\n\
         \"x-two\": one, two\n\
         \"@signature-params\": {INPUT_OF_US}"
    );
    assert_eq!(String::from_utf8(base).unwrap(), expected);
}

/// RFC 9421, appendix B.2.5.
#[test]
fn the_example_of_the_standard_is_right() {
    let secret =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let secret =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, secret).unwrap();
    let request = Request {
        method: Method::POST,
        uri: "/foo?param=Value&Pet=dog".parse().unwrap(),
        headers: HeaderMap::new(),
        public_base: "",
    };
    let request = request
        .with("host", "example.com")
        .with("date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .with("content-type", "application/json")
        .with(INPUT, r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#)
        .with(SIGNATURE, "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
    let candidates = fields::candidates(&request.headers).unwrap();
    let base = base::base(&request.message(), &candidates[0].covered, "").unwrap();
    let code = base::code(&secret, &base);
    hmac::Mac::verify_slice(code, &candidates[0].code).unwrap();
    // It lacks what we ask for, and says what.
    let denied = request.verify(&["@method", "@authority"]);
    assert_eq!(denied, Err(Denied::Incomplete(vec!["@method", "nonce"])));
}

#[test]
fn what_is_signed_passes() {
    assert_eq!(
        Request::new().signed().verify(&REQUIRED).as_deref(),
        Ok("robots")
    );
    // Parameters that nobody knows are signed like the others, in any order.
    let input = r#"("@path" "@method" "@authority");nonce="x";tag="t";keyid="robots";alg="hmac-sha256";created=1700000000;expires=1700000001"#;
    let request = Request::new().signed_as(input, SECRET);
    assert_eq!(request.verify(&REQUIRED).as_deref(), Ok("robots"));
}

#[test]
fn whatever_is_altered_of_what_is_covered_is_noticed() {
    type Change = fn(&mut Request);
    let changes: [(&str, Change); 8] = [
        ("method", |r| r.method = Method::PUT),
        ("path", |r| {
            r.uri = "/upload/chunked/?a=%2f&b".parse().unwrap();
        }),
        ("encoded path", |r| {
            r.uri = "/upload/chunke%64?a=%2f&b".parse().unwrap();
        }),
        ("query", |r| {
            r.uri = "/upload/chunked?a=/&b".parse().unwrap();
        }),
        ("authority", |r| {
            *r = r.clone().with("host", "other.example");
        }),
        ("port", |r| {
            *r = r.clone().with("host", "files.example:8080");
        }),
        ("header", |r| *r = r.clone().with("x-filename", "a  b.bin")),
        ("one more", |r| {
            r.headers.append("x-two", "three".parse().unwrap());
        }),
    ];
    for (what, change) in changes {
        let mut request = Request::new().signed();
        change(&mut request);
        assert_eq!(request.verify(&REQUIRED), Err(Denied::Invalid), "{what}");
    }
    // As one line, a list is the same list.
    let request = Request::new().signed().with("x-two", "one, two");
    request.verify(&REQUIRED).unwrap();
}

#[test]
fn whatever_is_altered_of_the_signature_is_noticed() {
    let good = Request::new().signed();
    let input = good.headers[INPUT].to_str().unwrap().to_owned();
    for (from, to) in [
        ("created=1700000000", "created=1700000001"),
        ("nonce=\"n1\"", "nonce=\"n2\""),
        (" \"x-two\"", ""),
        ("\"@method\" \"@authority\"", "\"@authority\" \"@method\""),
        (";nonce", ";expires=1800000000;nonce"),
    ] {
        let request = good.clone().with(INPUT, &input.replace(from, to));
        assert_eq!(
            request.verify(&REQUIRED),
            Err(Denied::Invalid),
            "{from} => {to}"
        );
    }
    let signature = good.headers[SIGNATURE].to_str().unwrap().to_owned();
    for broken in [
        signature.replace("s=:", "s=:AA"),
        "s=::".to_owned(),
        format!("s=:{}:", "A".repeat(42) + "=="),
    ] {
        let request = good.clone().with(SIGNATURE, &broken);
        assert!(request.verify(&REQUIRED).is_err(), "{broken}");
    }
    let other = Request::new().signed_as(INPUT_OF_US, b"fedcba9876543210fedcba9876543210");
    assert_eq!(other.verify(&REQUIRED), Err(Denied::Invalid));
}

/// Whoever tries ids learns nothing, whatever else is wrong.
#[test]
fn a_key_that_is_not_there_is_refused_as_one_of_another_secret() {
    let other = b"fedcba9876543210fedcba9876543210";
    for input in [
        INPUT_OF_US,
        r#"("@method");created=1700000000;keyid="robots";nonce="n1""#,
        r#"("@method" "@authority" "@path");created=1;keyid="robots";nonce="n1""#,
        r#"("@method" "@authority" "@path" "x-absent");created=1700000000;keyid="robots";nonce="n1""#,
        r#"("@method" "@authority" "@path");created=1700000000;keyid="robots";nonce="""#,
    ] {
        let known = Request::new().signed_as(input, other);
        let unknown = Request::new().signed_as(&input.replace("robots", "nobody"), other);
        assert_eq!(
            unknown.verify(&REQUIRED),
            known.verify(&REQUIRED),
            "{input}"
        );
    }
}

/// What is not there cannot be what was meant.
#[test]
fn what_cannot_be_checked_is_refused_and_named() {
    let named = |input: &str| Request::new().signed_as(input, SECRET).verify(&[]);
    let with = |covered: &str| format!("({covered});created={NOW};keyid=\"robots\";nonce=\"n\"");
    for (covered, denied) in [
        (r#""x-absent""#, Denied::Absent("x-absent".to_owned())),
        (r#""@status""#, Denied::Unsupported("@status".to_owned())),
        (
            r#""X-Filename""#,
            Denied::Unsupported("X-Filename".to_owned()),
        ),
        (
            r#""x-filename";bs"#,
            Denied::Unsupported("x-filename".to_owned()),
        ),
        (
            r#""@query-param";name="a""#,
            Denied::Unsupported("@query-param".to_owned()),
        ),
        (
            r#""x-filename" "x-filename""#,
            Denied::Malformed("it covers a component twice"),
        ),
        ("token", Denied::Malformed("a component is no string")),
        (r#""a\"b""#, Denied::Unsupported("a\"b".to_owned())),
        (r#""""#, Denied::Unsupported(String::new())),
    ] {
        assert_eq!(named(&with(covered)), Err(denied), "{covered}");
    }
    for parameters in [
        "created=1700000000.5;keyid=\"robots\";nonce=\"n\"",
        "created=-1;keyid=\"robots\";nonce=\"n\"",
        "created=1700000000;keyid=robots;nonce=\"n\"",
        "created=1700000000;keyid=\"robots\";nonce=\"\"",
        "created=1700000000;keyid=\"robots\";nonce=\"n\";alg=\"ed25519\"",
    ] {
        let denied = named(&format!("();{parameters}"));
        assert!(
            matches!(denied, Err(Denied::Malformed(_))),
            "{parameters}: {denied:?}"
        );
    }
}

#[test]
fn two_hosts_are_none() {
    let mut request = Request::new().signed();
    request
        .headers
        .append("host", "files.example".parse().unwrap());
    let denied = Denied::Absent("@authority".to_owned());
    assert_eq!(request.verify(&REQUIRED), Err(denied));
}

#[test]
fn it_passes_in_its_time_only() {
    for (created, expires, passes) in [
        (NOW - 300, None, true),
        (NOW - 301, None, false),
        (NOW + 300, None, true),
        (NOW + 301, None, false),
        (NOW - 10, Some(NOW + 1), true),
        (NOW - 10, Some(NOW), false),
        (NOW - 301, Some(NOW + 1_000), false),
    ] {
        let expires = expires.map_or(String::new(), |end| format!(";expires={end}"));
        let input = format!(
            r#"("@authority" "@method" "@path");created={created}{expires};keyid="robots";nonce="n""#
        );
        let verdict = Request::new().signed_as(&input, SECRET).verify(&REQUIRED);
        let now = Timestamp(NOW * 1_000);
        let expected = match passes {
            true => Ok("robots".to_owned()),
            false => Err(Denied::Stale { now }),
        };
        assert_eq!(verdict, expected, "{input}");
    }
}

#[test]
fn a_key_ends() {
    let secret = Secret::new(SECRET.to_vec()).unwrap();
    let end = |seconds: u64| Some(Timestamp(seconds * 1_000).to_system_time());
    let key = |id: &str, not_after| Key {
        id: id.to_owned(),
        secret: secret.clone(),
        not_after,
    };
    let request = Request::new().signed();
    for (not_after, passes) in [(end(NOW + 1), true), (end(NOW), false), (None, true)] {
        let ring = KeyRing::new(vec![key("new", None), key("robots", not_after)]);
        let verified = verify(&ring, &request.message(), &REQUIRED, WINDOW);
        assert_eq!(verified.is_ok(), passes, "{not_after:?}");
    }
}

/// A proxy may add its own.
#[test]
fn of_several_signatures_one_that_passes_is_enough() {
    let good = Request::new().signed();
    let (input, code) = (good.headers[INPUT].clone(), good.headers[SIGNATURE].clone());
    let (input, code) = (input.to_str().unwrap(), code.to_str().unwrap());
    let theirs = r#"p=("@status");created=1;keyid="proxy";alg="ed25519""#;
    let both = good
        .clone()
        .with(INPUT, &format!("{theirs}, {input}"))
        .with(SIGNATURE, &format!("p=:AAAA:, {code}"));
    assert_eq!(both.verify(&REQUIRED).as_deref(), Ok("robots"));
    let mut lines = good.clone().with(INPUT, theirs).with(SIGNATURE, "p=:AAAA:");
    lines.headers.append(INPUT, input.parse().unwrap());
    lines.headers.append(SIGNATURE, code.parse().unwrap());
    assert_eq!(lines.verify(&REQUIRED).as_deref(), Ok("robots"));
    // Either of two could be used again alone; one that is early, later.
    for created in [NOW, NOW + 400] {
        let second = INPUT_OF_US.replace("1700000000", &created.to_string());
        let second = Request::new().signed_as(&second.replace("n1", "n2"), SECRET);
        let text = |name| second.headers[name].to_str().unwrap().replace("s=", "t=");
        for is_first in [true, false] {
            let list = |own: &str, name| match is_first {
                true => format!("{own}, {}", text(name)),
                false => format!("{}, {own}", text(name)),
            };
            let both = good.clone().with(INPUT, &list(input, INPUT));
            let both = both.with(SIGNATURE, &list(code, SIGNATURE));
            let refused = both.verify(&REQUIRED);
            assert!(
                matches!(refused, Err(Denied::Malformed(_))),
                "{created}: {refused:?}"
            );
        }
    }
    let apart = good.clone().with(SIGNATURE, "other=:AAAA:");
    assert!(matches!(apart.verify(&REQUIRED), Err(Denied::Malformed(_))));
    let many = (0..9)
        .map(|n| format!("s{n}=()"))
        .collect::<Vec<_>>()
        .join(", ");
    let many = good.with(INPUT, &many).verify(&REQUIRED);
    assert!(matches!(many, Err(Denied::Malformed(_))));
    assert_eq!(Request::new().verify(&REQUIRED), Err(Denied::Missing));
}

#[test]
fn nonces_are_told_apart_by_key_and_text() {
    let ring = KeyRing::new(
        ["a", "ab"]
            .map(|id| Key {
                id: id.to_owned(),
                secret: Secret::new(SECRET.to_vec()).unwrap(),
                not_after: None,
            })
            .to_vec(),
    );
    let print = |key: &str, nonce: &str| {
        let input = format!("();created={NOW};keyid=\"{key}\";nonce=\"{nonce}\"");
        let request = Request::new().signed_as(&input, SECRET);
        verify(&ring, &request.message(), &[], WINDOW)
            .unwrap()
            .nonce
    };
    assert_eq!(print("a", "bc"), print("a", "bc"));
    assert_ne!(print("a", "bc"), print("ab", "c"));
    assert_ne!(print("a", "bc"), print("a", "bd"));
    assert_eq!(print("a", "bc").created, NOW);
}

#[test]
fn what_we_sign_we_accept() {
    let request = Request::new();
    let key = ring().signing().unwrap().clone();
    let covered = ["@method", "@authority", "@path", "@query", "x-filename"];
    let signed = sign(&key, &request.message(), &covered, NOW).unwrap();
    let again = sign(&key, &request.message(), &covered, NOW).unwrap();
    assert_ne!(signed.input, again.input, "another nonce");
    let request = request
        .with(INPUT, signed.input.to_str().unwrap())
        .with(SIGNATURE, signed.signature.to_str().unwrap());
    assert_eq!(request.verify(&covered).as_deref(), Ok("robots"));
    assert_eq!(sign(&key, &request.message(), &["x-absent"], NOW), None);
}
