use http::header::HeaderValue;

use crate::protocol::{Code, Headers, Problem};
use crate::upload::{FileName, from_latin1};

/// The file's name: `X-Filename`, or `Content-Disposition: attachment; filename*=UTF-8''…`
/// (RFC 6266) for names that do not fit into a header.
///
/// # Errors
/// `missing_header`, `duplicate_header` or `bad_filename`.
pub(super) fn filename(headers: Headers<'_>) -> Result<FileName, Problem> {
    let name = match headers.one("x-filename")? {
        Some(value) => text(value),
        None => match headers.one("content-disposition")? {
            Some(value) => extended(value).ok_or_else(|| {
                let detail =
                    "Content-Disposition must carry filename*=UTF-8''<percent-encoded name>.";
                Problem::new(Code::BAD_FILENAME, detail)
            })?,
            None => {
                let detail = "The header x-filename is required.";
                return Err(Problem::new(Code::MISSING_HEADER, detail));
            }
        },
    };
    FileName::parse(name).map_err(|error| {
        Problem::new(
            Code::BAD_FILENAME,
            format!("{}.", sentence(&error.to_string())),
        )
    })
}

/// UTF-8, or else ISO-8859-1: what `fetch` sends.
///
/// Blanks around a value are no part of it (RFC 9110 section 5.5); over HTTP/2 nobody has taken them off.
fn text(value: &HeaderValue) -> String {
    let bytes = value.as_bytes().trim_ascii();
    std::str::from_utf8(bytes).map_or_else(|_| from_latin1(bytes), str::to_owned)
}

/// The value of `filename*` (RFC 8187).
fn extended(value: &HeaderValue) -> Option<String> {
    let value = value.to_str().ok()?;
    let mut parameters = value
        .split(';')
        .skip(1)
        .filter_map(|p| p.trim().split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("filename*"))?;
    let (charset, rest) = value.trim().split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") || !is_percent_encoded(encoded) {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(encoded)
        .decode_utf8()
        .ok()?;
    Some(decoded.into_owned())
}

/// Whether every `%` begins an octet.
fn is_percent_encoded(text: &str) -> bool {
    let is_octet = |rest: &str| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit))
    };
    text.split('%').skip(1).all(is_octet)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn read(name: &'static str, value: &[u8]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        let name = filename(Headers(&headers)).map_err(|problem| problem.code().name)?;
        Ok(name.to_string())
    }

    #[test]
    fn names_come_as_utf8_as_latin1_or_percent_encoded() {
        assert_eq!(
            read("x-filename", "müll.zip".as_bytes()).unwrap(),
            "müll.zip"
        );
        assert_eq!(read("x-filename", b"m\xfcll.zip").unwrap(), "müll.zip");
        assert_eq!(read("x-filename", b"  a b.bin\t ").unwrap(), "a b.bin");
        let disposition = b"attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac%20rates";
        assert_eq!(read("content-disposition", disposition).unwrap(), "€ rates");
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for bad in [
            "../../etc/x",
            "..\\x",
            "/abs",
            "a/../../b",
            ".",
            "..",
            "",
            "a\tb",
        ] {
            assert_eq!(
                read("x-filename", bad.as_bytes()),
                Err("bad_filename"),
                "{bad}"
            );
        }
        let hidden = b"attachment; filename*=UTF-8''%2e%2e%2fx";
        assert_eq!(read("content-disposition", hidden), Err("bad_filename"));
        assert_eq!(
            read("content-disposition", b"attachment"),
            Err("bad_filename")
        );
        let broken = b"attachment; filename*=UTF-8''100%zz";
        assert_eq!(read("content-disposition", broken), Err("bad_filename"));
        assert_eq!(read("x-filename", &[b'a'; 256]), Err("bad_filename"));
        assert!(read("x-filename", &[b'a'; 255]).is_ok());
    }
}
