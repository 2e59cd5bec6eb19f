use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{EXPECT, HeaderValue};
use http_body::Body;

use super::presence::{Departure, Presence};
use super::{Code, Problem};
use crate::engine::{Source, SourceError};
use crate::upload::{Algorithm, Digest};

/// Largest number a header may carry.
const NUMBER_MAX: u64 = i64::MAX.cast_unsigned();
/// Bytes of a refused request's body that are read and dropped, at least.
const DISCARD_MIN: u64 = 8 << 20;

/// The head of a request, read strictly.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(pub &'a HeaderMap);

impl<'a> Headers<'a> {
    /// The value of a header, if it is there.
    ///
    /// # Errors
    /// `duplicate_header` when it is there twice.
    pub fn one(self, name: &'static str) -> Result<Option<&'a HeaderValue>, Problem> {
        let mut values = self.0.get_all(name).iter();
        let value = values.next();
        if values.next().is_some() {
            let detail = format!("The header {name} must appear once.");
            return Err(Problem::new(Code::DUPLICATE_HEADER, detail));
        }
        Ok(value)
    }

    /// The value of a header that must be there.
    ///
    /// # Errors
    /// `missing_header` or `duplicate_header`.
    pub fn required(self, name: &'static str) -> Result<&'a HeaderValue, Problem> {
        self.one(name)?.ok_or_else(|| {
            Problem::new(
                Code::MISSING_HEADER,
                format!("The header {name} is required."),
            )
        })
    }

    /// A header that carries a number.
    ///
    /// # Errors
    /// `bad_number` or `duplicate_header`.
    pub fn number(self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.one(name)?
            .map(|value| number(name, value.as_bytes()))
            .transpose()
    }

    /// A header that carries a number and must be there.
    ///
    /// # Errors
    /// `missing_header`, `bad_number` or `duplicate_header`.
    pub fn required_number(self, name: &'static str) -> Result<u64, Problem> {
        number(name, self.required(name)?.as_bytes())
    }

    /// The digests of `Repr-Digest` or `Content-Digest` (RFC 9530) that this library can check.
    ///
    /// # Errors
    /// `bad_digest` when the field is malformed or names no algorithm we know.
    pub fn digests(self, name: &'static str) -> Result<Vec<Digest>, Problem> {
        let Some(value) = self.one(name)? else {
            return Ok(Vec::new());
        };
        let digests = value
            .to_str()
            .ok()
            .and_then(parse_digests)
            .unwrap_or_default();
        if digests.is_empty() {
            let detail = format!(
                "{name} must be a dictionary of RFC 9530 with `sha-256` or `sha-512`, \
                 such as `sha-256=:<base64>:`."
            );
            return Err(Problem::new(Code::BAD_DIGEST, detail));
        }
        Ok(digests)
    }
}

/// Reads a number: ASCII digits, no sign, no blanks, no leading zeros, at most 2^63-1.
fn number(name: &'static str, bytes: &[u8]) -> Result<u64, Problem> {
    let plain = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let canonical = bytes.len() == 1 || !bytes.starts_with(b"0");
    let number = (plain && canonical)
        .then(|| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok())
        .flatten()
        .filter(|number| *number <= NUMBER_MAX);
    number.ok_or_else(|| {
        let detail = format!(
            "{name} must be a number from 0 to {NUMBER_MAX}: digits only, no sign, no leading zeros."
        );
        Problem::new(Code::BAD_NUMBER, detail)
    })
}

/// `None` when the field is no dictionary of byte sequences, or a known digest has a wrong
/// length. Unknown algorithms are passed over, as RFC 9530 section 2 asks.
fn parse_digests(field: &str) -> Option<Vec<Digest>> {
    let dictionary: sfv::Dictionary = sfv::Parser::new(field).parse().ok()?;
    let mut digests = Vec::new();
    for (name, member) in dictionary {
        let sfv::ListEntry::Item(item) = member else {
            return None;
        };
        let value = item.bare_item.as_byte_sequence()?;
        if let Some(algorithm) = Algorithm::from_name(name.as_str()) {
            digests.push(Digest::new(algorithm, value.to_vec()).ok()?);
        }
    }
    Some(digests)
}

/// Whether the client waits for a verdict on the head before it sends the body.
#[must_use]
pub fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Bytes of a refused request's body that are read and dropped before the answer, so that a
/// client that writes first and reads then is not cut off while it writes.
#[must_use]
pub fn discard_limit(chunk_size: u64) -> u64 {
    chunk_size.max(DISCARD_MIN)
}

/// The body of a request as a source of bytes.
#[derive(Debug)]
pub struct BodySource<'a, B> {
    body: Pin<&'a mut B>,
    used: bool,
    departure: Departure,
}

impl<'a, B: Body<Data = Bytes>> BodySource<'a, B> {
    /// A source that has not been read yet; `presence` tells of its client, where that is known.
    #[must_use]
    pub fn new(body: Pin<&'a mut B>, presence: Option<Presence>) -> Self {
        Self {
            body,
            used: false,
            departure: Departure::of(presence),
        }
    }

    /// Whether anything was asked of it: a client that waits for `100 Continue` has got it.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// Whether it is known to be empty without reading it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Whether it holds at least one byte, which is dropped.
    pub async fn has_bytes(&mut self) -> bool
    where
        B: Send,
    {
        while let Some(Ok(bytes)) = std::future::poll_fn(|cx| self.poll_next(cx)).await {
            if !bytes.is_empty() {
                return true;
            }
        }
        false
    }

    /// Reads and drops up to `bytes_max` bytes.
    pub async fn discard(&mut self, bytes_max: u64)
    where
        B: Send,
    {
        let mut discarded = 0;
        while discarded < bytes_max {
            match std::future::poll_fn(|cx| self.poll_next(cx)).await {
                Some(Ok(bytes)) => discarded += bytes.len() as u64,
                Some(Err(_)) | None => return,
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Send> Source for BodySource<'_, B> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        self.used = true;
        loop {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers carry nothing we ask for.
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(SourceError::Broken))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.departure.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        for good in ["0", "7", "10", "9223372036854775807"] {
            assert_eq!(
                number("x", good.as_bytes()).ok(),
                good.parse().ok(),
                "{good}"
            );
        }
        for bad in [
            "",
            "-1",
            "+5",
            " 5",
            "5 ",
            "5.0",
            "1e3",
            "0x10",
            "01",
            "00",
            "9223372036854775808",
            "18446744073709551616",
            "٣",
        ] {
            assert!(number("x", bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
