//! What fuzzers try of the hand-off.

#![allow(clippy::unwrap_used, reason = "checks panic")]

use super::multipart::frame;
use super::template;
use crate::upload::{Declaration, FileName};

/// A body with one part, and what every reader is to find in it.
#[derive(Debug)]
pub struct Form {
    /// `Content-Type` of the request.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// Name of the field.
    pub field: String,
    /// Name of the file.
    pub name: String,
    /// Media type of the file.
    pub file_type: String,
    /// The file.
    pub file: Vec<u8>,
}

/// The body that a handler is given, read as RFC 7578 says.
pub(crate) fn form(field: &str, declaration: &Declaration, file: &[u8], random: [u8; 16]) -> Form {
    let file_type = declaration.content_type.as_deref().unwrap_or("a/b");
    let framing = frame(field, &declaration.name, file_type, random);
    let form = Form {
        content_type: framing.content_type,
        body: [framing.before.as_bytes(), file, framing.after.as_bytes()].concat(),
        field: field.replace('"', "%22"),
        name: declaration.name.as_str().replace('"', "%22"),
        file_type: file_type.to_owned(),
        file: file.to_vec(),
    };
    assert_strict(&form);
    form
}

/// Every byte is where sections 4.1 to 4.8 want it, and nothing but the one part is there.
fn assert_strict(form: &Form) {
    let boundary = form
        .content_type
        .strip_prefix("multipart/form-data; boundary=");
    let boundary = boundary.unwrap();
    assert!((1..=70).contains(&boundary.len()));
    let delimiter = format!("--{boundary}");
    let rest = form.body.strip_prefix(delimiter.as_bytes()).unwrap();
    let mut rest = rest.strip_prefix(b"\r\n").unwrap();
    let mut lines = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let line = str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 2..];
        if line.is_empty() {
            break;
        }
        // A tab may stand in a media type.
        assert!(
            !line.chars().any(|c| c.is_control() && c != '\t'),
            "{line:?}"
        );
        lines.push(line);
    }
    let [disposition, content_type] = lines[..] else {
        panic!("{lines:?}");
    };
    assert_disposition(disposition, form);
    assert_eq!(content_type, format!("Content-Type: {}", form.file_type));
    let delimiter = format!("\r\n{delimiter}");
    let end = rest
        .windows(delimiter.len())
        .position(|some| some == delimiter.as_bytes());
    let (file, rest) = rest.split_at(end.unwrap());
    assert!(file == form.file);
    assert_eq!(rest, format!("{delimiter}--\r\n").as_bytes());
}

/// Two quoted strings. A backslash in one would escape what follows it for some, and not for others.
fn assert_disposition(line: &str, form: &Form) {
    let rest = line
        .strip_prefix("Content-Disposition: form-data; name=\"")
        .unwrap();
    let (field, rest) = rest.split_once('"').unwrap();
    let rest = rest.strip_prefix("; filename=\"").unwrap();
    let (name, rest) = rest.split_once('"').unwrap();
    assert_eq!((field, name, rest), (&*form.field, &*form.name, ""));
    assert!(!field.contains('\\') && !name.contains('\\'));
}

/// What stands beside a raw body of that name.
pub(crate) fn disposition(name: &FileName) -> String {
    template::disposition(name)
}

/// What a client declared reaches the handler: nothing of it is no header.
pub(crate) fn assert_delivered(declaration: &Declaration) {
    let mut headers = http::HeaderMap::new();
    template::add_kept_headers(&mut headers, declaration);
    let kept = declaration.headers.len() + usize::from(declaration.host.is_some());
    assert_eq!(headers.len(), kept);
    for text in declaration.content_type.iter().chain(&declaration.host) {
        assert!(http::HeaderValue::from_bytes(text.as_bytes()).is_ok());
    }
}
