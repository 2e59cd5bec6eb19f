//! A strict reader of `multipart/form-data` (RFC 7578), written for the tests alone.
//!
//! It accepts one exact framing and nothing else: no preamble, no epilogue, no padding.

use crate::data;

/// One part: its headers as they were sent, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name and value of each header, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Part {
    /// The value of a header of this part.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A quoted parameter of `Content-Disposition`, undone from either escape in use:
    /// a backslash, or the percent form of the HTML standard (`%22`, `%0D`, `%0A`).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let value = self.header("content-disposition")?;
        let start = value.find(&format!("; {name}=\""))? + name.len() + 4;
        let mut out = String::new();
        let mut rest = value[start..].chars();
        loop {
            match rest.next()? {
                '"' => break,
                '\\' => out.push(rest.next()?),
                plain => out.push(plain),
            }
        }
        Some(
            out.replace("%22", "\"")
                .replace("%0D", "\r")
                .replace("%0A", "\n"),
        )
    }
}

/// The boundary named by a `Content-Type`.
///
/// # Panics
/// When it is not `multipart/form-data` with a boundary.
#[must_use]
pub fn boundary(content_type: &str) -> String {
    let (kind, rest) = content_type
        .split_once(';')
        .expect("a media type with parameters");
    assert_eq!(kind.trim().to_ascii_lowercase(), "multipart/form-data");
    let value = rest
        .trim()
        .strip_prefix("boundary=")
        .expect("a boundary and nothing else");
    let value = value.trim_matches('"').to_owned();
    assert!(
        (1..=70).contains(&value.len()),
        "RFC 2046 allows 1 to 70 characters: {value:?}"
    );
    value
}

/// Reads a whole body.
///
/// # Panics
/// On any departure from the exact framing.
#[must_use]
pub fn parse(content_type: &str, body: &[u8]) -> Vec<Part> {
    let boundary = boundary(content_type);
    let first = format!("--{boundary}\r\n");
    let between = format!("\r\n--{boundary}");
    let mut rest = body
        .strip_prefix(first.as_bytes())
        .expect("the body starts with its boundary");
    let mut parts = Vec::new();
    loop {
        let end = find(rest, between.as_bytes()).expect("a boundary ends the part");
        parts.push(part(&rest[..end]));
        rest = &rest[end + between.len()..];
        if rest == b"--\r\n" || rest == b"--" {
            break;
        }
        rest = rest
            .strip_prefix(b"\r\n")
            .expect("a boundary ends its line");
    }
    let seen = data::count(body, format!("--{boundary}").as_bytes());
    assert_eq!(
        seen,
        parts.len() + 1,
        "the boundary does not occur inside a part"
    );
    parts
}

fn part(bytes: &[u8]) -> Part {
    let split = find(bytes, b"\r\n\r\n").expect("a blank line ends the headers of a part");
    let head = std::str::from_utf8(&bytes[..split]).expect("the headers of a part are UTF-8");
    let headers = head.split("\r\n").map(|line| {
        let (name, value) = line.split_once(':').expect("a header line has a colon");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    Part {
        headers: headers.collect(),
        body: bytes[split + 4..].to_vec(),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|at| at == needle)
}
