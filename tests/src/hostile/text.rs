//! Bytes of a request as a case writes them: escapes and placeholders.

use std::net::SocketAddr;

use serde::Deserialize;

use super::signed::{Shape, Signed};
use crate::config::CHUNK;
use crate::data;
use crate::upload::sign;

/// Bytes of the file that a case's `session` is about.
pub const SIZE: usize = 3 * CHUNK;

/// What the placeholders stand for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// `{SESSION}`: the upload of the set-up.
    pub session: String,
    /// `{FOREIGN}`: another upload.
    pub foreign: String,
    /// `{HOST}`: address and port of the server.
    pub host: String,
    /// Signatures that were sent.
    pub signatures: Vec<String>,
    /// The chunk that the last `X-Chunk-Number` named.
    chunk: usize,
}

/// A text with its escapes resolved.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Bytes(Vec<u8>),
    Session,
    Foreign,
    Host,
    Signature(String),
    Signed(Signed),
    Code(Shape),
    Body(usize),
    Digest(usize),
}

impl Names {
    /// Those of a case without a set-up, against this server.
    #[must_use]
    pub fn of(host: SocketAddr) -> Self {
        Self {
            host: host.to_string(),
            ..Self::default()
        }
    }

    /// The first `count` bytes of the chunk that was named last.
    fn body(&mut self, head: &[u8], count: usize) -> Vec<u8> {
        self.chunk = last_chunk_number(head).unwrap_or(self.chunk);
        let from = self.chunk * CHUNK;
        file().into_iter().cycle().skip(from).take(count).collect()
    }
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            if let Some((found, length)) = placeholder(rest)? {
                pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                pieces.extend(found);
                rest = &rest[length..];
            } else if first == '\\' {
                let (byte, length) = escape(rest)?;
                bytes.push(byte);
                rest = &rest[length..];
            } else {
                let length = first.len_utf8();
                bytes.extend_from_slice(&rest.as_bytes()[..length]);
                rest = &rest[length..];
            }
        }
        pieces.push(Piece::Bytes(bytes));
        Ok(Self(pieces))
    }
}

impl Text {
    /// A text of bytes alone.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self(vec![Piece::Bytes(bytes)])
    }

    /// The bytes, with the placeholders filled in.
    pub fn render(&self, names: &mut Names) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Session => out.extend_from_slice(names.session.as_bytes()),
                Piece::Foreign => out.extend_from_slice(names.foreign.as_bytes()),
                Piece::Host => out.extend_from_slice(names.host.as_bytes()),
                Piece::Signature(path) => {
                    let signature = sign(path);
                    out.extend_from_slice(signature.as_bytes());
                    names.signatures.push(signature);
                }
                Piece::Signed(signed) => {
                    let (input, code) = signed.render(&out);
                    out.extend_from_slice(input.as_bytes());
                    names.signatures.push(code);
                }
                Piece::Code(shape) => {
                    let code = names
                        .signatures
                        .last()
                        .expect("a signature before its code");
                    out.extend_from_slice(shape.of(code).as_bytes());
                }
                Piece::Body(count) => out.extend(names.body(&out, *count)),
                Piece::Digest(count) => {
                    let body = names.body(&out, *count);
                    out.extend_from_slice(data::digest_sha256(&body).as_bytes());
                }
            }
        }
        names.chunk = last_chunk_number(&out).unwrap_or(names.chunk);
        out
    }
}

/// The file of the set-up's uploads.
#[must_use]
pub fn file() -> Vec<u8> {
    data::random(1, SIZE)
}

/// What the placeholder stands for that `text` begins with, and its length.
fn placeholder(text: &str) -> Result<Option<(Vec<Piece>, usize)>, String> {
    let Some(inner) = text.strip_prefix('{') else {
        return Ok(None);
    };
    // Braces that are the attacker's own stay as they are.
    if !inner.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Ok(None);
    }
    let end = inner.find('}').ok_or("a placeholder has no end")?;
    let inner = &inner[..end];
    let (name, said) = inner.split_once(' ').unwrap_or((inner, ""));
    let count = || {
        let count = said.parse();
        count.map_err(|_| format!("{{{inner}}} has no number"))
    };
    let pieces = match (name, said) {
        ("SESSION", "") => vec![Piece::Session],
        ("FOREIGN", "") => vec![Piece::Foreign],
        ("HOST", "") => vec![Piece::Host],
        ("SIG", path) => vec![Piece::Signature(path.to_owned())],
        ("MESSAGE", said) => vec![
            Piece::Bytes(b"Signature-Input: sig=".to_vec()),
            Piece::Signed(said.parse()?),
            Piece::Bytes(b"\r\nSignature: sig=:".to_vec()),
            Piece::Code(Shape::Whole),
            Piece::Bytes(b":".to_vec()),
        ],
        ("SIGNED", said) => vec![Piece::Signed(said.parse()?)],
        ("CODE", said) => vec![Piece::Code(said.parse()?)],
        ("BODY", _) => vec![Piece::Body(count()?)],
        ("DIGEST", _) => vec![Piece::Digest(count()?)],
        _ => return Err(format!("there is no placeholder {{{inner}}}")),
    };
    Ok(Some((pieces, end + 2)))
}

/// The byte of the escape that `text` begins with, and the escape's length.
fn escape(text: &str) -> Result<(u8, usize), String> {
    let simple = match text.as_bytes().get(1) {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'0') => 0,
        Some(b'\\') => b'\\',
        Some(b'x') => {
            let byte = text
                .get(2..4)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            return byte
                .map(|byte| (byte, 4))
                .ok_or_else(|| "\\x needs two hex digits".into());
        }
        _ => {
            let shown: String = text.chars().take(2).collect();
            return Err(format!(
                "there is no escape {shown}: \\r \\n \\t \\0 \\\\ \\xNN"
            ));
        }
    };
    Ok((simple, 2))
}

/// The number in the last `X-Chunk-Number` of these heads: 0 for one that names no chunk.
fn last_chunk_number(bytes: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"x-chunk-number:";
    let mut windows = bytes.windows(NAME.len());
    let at = windows.rposition(|at| at.eq_ignore_ascii_case(NAME))? + NAME.len();
    let line = bytes[at..].split(|byte| *byte == b'\r').next()?;
    let number = std::str::from_utf8(line.trim_ascii()).ok()?.parse().ok();
    let number = number.filter(|number| *number < SIZE / CHUNK);
    Some(number.unwrap_or(0))
}
