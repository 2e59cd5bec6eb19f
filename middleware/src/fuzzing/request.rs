use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// Reads a request as it is on the wire: method and target, then a header a line. Lines that are none
/// are left out.
pub(super) fn read(text: &[u8]) -> Option<Parts> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let (method, target) = split(lines.next()?, b' ')?;
    let method = Method::from_bytes(method).ok()?;
    let target = Uri::try_from(target).ok()?;
    Some(of(
        method,
        target,
        lines.filter_map(|line| split(line, b':')),
    ))
}

/// The head of a request; what is no header is left out.
pub(super) fn of<'a>(
    method: Method,
    uri: Uri,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri) = (method, uri);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            // More headers than a map takes never come from the wire.
            let _ = parts.headers.try_append(name, value);
        }
    }
    parts
}

fn split(line: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| *byte == at)?;
    Some((&line[..end], &line[end + 1..]))
}
