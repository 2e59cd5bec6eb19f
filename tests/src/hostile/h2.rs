//! HTTP/2 by the frame: what a well-behaved library would not send.

use serde::Deserialize;

use super::hpack;
use super::text::{Names, Text};
use crate::http::Response;

/// What the runner sends before the first step: the preface, and SETTINGS that ask for a header
/// table of no size, so that an answer's head can be read without one.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\0\0";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// RFC 9113, section 6, by number.
const TYPES: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];

const FLAGS: [(&str, u8); 6] = [
    ("ACK", 0x1),
    ("END_STREAM", 0x1),
    ("END_HEADERS", 0x4),
    ("PADDED", 0x8),
    ("PRIORITY", 0x20),
    ("", 0),
];

const HEAD: usize = 9;

/// A frame to be sent as it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Written")]
pub struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    stream_step: u32,
    headers: Vec<(String, Text)>,
    payload: Vec<u8>,
    length: Option<u32>,
    reserved_bit: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    flags: String,
    stream: u32,
    #[serde(default)]
    stream_step: u32,
    #[serde(default)]
    headers: Vec<(String, Text)>,
    #[serde(default)]
    payload: Vec<(String, usize)>,
    length: Option<u32>,
    #[serde(default)]
    reserved_bit: bool,
}

impl TryFrom<Written> for Frame {
    type Error = String;

    fn try_from(frame: Written) -> Result<Self, String> {
        let named = TYPES.iter().position(|name| *name == frame.kind);
        let kind = match named.and_then(|at| u8::try_from(at).ok()) {
            Some(kind) => kind,
            None => number(&frame.kind)?,
        };
        let flag = |name: &str| {
            let known = FLAGS.iter().find(|(known, _)| *known == name);
            known.map_or_else(|| number(name), |(_, bit)| Ok(*bit))
        };
        let mut flags = frame.flags.split('|').map(flag);
        let flags = flags.try_fold(0, |all, bit| bit.map(|bit| all | bit))?;
        let mut payload = Vec::new();
        for (hex, times) in &frame.payload {
            let bytes = hex::decode(hex).map_err(|error| format!("{hex}: {error}"))?;
            payload.extend(bytes.repeat(*times));
        }
        Ok(Self {
            kind,
            flags,
            stream: frame.stream,
            stream_step: frame.stream_step,
            headers: frame.headers,
            payload,
            length: frame.length,
            reserved_bit: frame.reserved_bit,
        })
    }
}

fn number(text: &str) -> Result<u8, String> {
    let hex = text.strip_prefix("0x");
    hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())
        .ok_or_else(|| format!("{text:?} is neither a name of RFC 9113 nor 0xNN"))
}

impl Frame {
    /// The stream it is sent on in a round of a repeat.
    #[must_use]
    pub fn stream(&self, round: u32) -> u32 {
        self.stream
            .wrapping_add(self.stream_step.wrapping_mul(round))
    }

    /// True when it opens its stream, or continues it with trailers.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.kind == HEADERS
    }

    /// What it takes of the window.
    fn counted(&self) -> i64 {
        match self.kind {
            DATA => i64::try_from(self.payload.len()).unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    /// Its bytes in a round of a repeat.
    #[must_use]
    pub fn bytes(&self, round: u32, names: &mut Names) -> Vec<u8> {
        let mut payload = self.payload.clone();
        for (name, value) in &self.headers {
            // Literal without indexing, new name (RFC 7541, section 6.2.2).
            payload.push(0);
            string(name.as_bytes(), &mut payload);
            string(&value.render(names), &mut payload);
        }
        let length = self.length.map_or(payload.len(), |length| length as usize);
        let mut bytes = length.to_be_bytes()[size_of::<usize>() - 3..].to_vec();
        bytes.extend([self.kind, self.flags]);
        let reserved = u32::from(self.reserved_bit) << 31;
        bytes.extend((self.stream(round) | reserved).to_be_bytes());
        bytes.extend(payload);
        bytes
    }
}

/// A string without Huffman coding (RFC 7541, section 5.2).
fn string(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text.len();
    if rest < 127 {
        out.extend(rest.to_be_bytes().last());
    } else {
        out.push(127);
        rest -= 127;
        while rest >= 128 {
            out.push(0x80 | rest.to_be_bytes()[size_of::<usize>() - 1]);
            rest >>= 7;
        }
        out.extend(rest.to_be_bytes().last());
    }
    out.extend_from_slice(text);
}

/// A frame of the server.
struct Heard<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

/// The first whole frame in `bytes`, and what follows it.
fn first(bytes: &[u8]) -> Option<(Heard<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let (payload, rest) = rest.split_at_checked(length)?;
    let frame = Heard {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1),
        payload,
    };
    Some((frame, rest))
}

/// The part of a client that the server may rely on: it acknowledges SETTINGS, gives windows back
/// and keeps to those it is given.
#[derive(Debug)]
pub struct Manners {
    /// Up to where frames were read.
    read: usize,
    /// Bytes of DATA that the connection takes; less than none after a case that sends more.
    window: i64,
}

impl Default for Manners {
    fn default() -> Self {
        // RFC 9113, section 6.9.2.
        let window = 65_535;
        Self { read: 0, window }
    }
}

impl Manners {
    /// Reads the frames that have come since, and answers what must be sent back.
    pub fn replies(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((frame, rest)) = first(&bytes[self.read..]) {
            self.read = bytes.len() - rest.len();
            match (frame.kind, frame.payload) {
                (SETTINGS, _) if frame.flags & 1 == 0 => {
                    out.extend([0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]);
                }
                (WINDOW_UPDATE, &[a, b, c, d]) if frame.stream == 0 => {
                    self.window += i64::from(u32::from_be_bytes([a, b, c, d]));
                }
                (DATA, payload @ [_, ..]) => {
                    out.extend([0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 0]);
                    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                    out.extend(size.to_be_bytes());
                }
                _ => {}
            }
        }
        out
    }

    /// True when the connection takes this frame.
    #[must_use]
    pub fn allow(&self, frame: &Frame) -> bool {
        self.window >= frame.counted()
    }

    /// Notes a frame that is sent.
    pub fn sends(&mut self, frame: &Frame) {
        self.window -= frame.counted();
    }
}

/// What a server said on one connection.
#[derive(Debug, Default)]
pub struct Talk {
    /// Answers by stream, in the order in which they began.
    pub answers: Vec<(u32, Response)>,
    /// Streams whose answer is whole.
    pub whole: Vec<u32>,
    /// Streams it has reset.
    pub reset: Vec<u32>,
    /// True when it takes no more streams because of an error.
    pub gone: bool,
}

/// Reads what a server said.
///
/// # Errors
/// An answer without a status that could be read.
pub fn talk(mut bytes: &[u8]) -> Result<Talk, String> {
    let mut talk = Talk::default();
    while let Some((frame, rest)) = first(bytes) {
        bytes = rest;
        let open = |answer: &&mut (u32, Response)| answer.0 == frame.stream;
        match frame.kind {
            HEADERS => match response(frame.payload)? {
                Some(Response {
                    status: 100..200, ..
                }) => {}
                Some(answer) => talk.answers.push((frame.stream, answer)),
                None => {}
            },
            DATA => {
                if let Some((_, answer)) = talk.answers.iter_mut().find(open) {
                    answer.body.extend_from_slice(frame.payload);
                }
            }
            RST_STREAM => talk.reset.push(frame.stream),
            GOAWAY => talk.gone |= frame.payload.get(4..8).is_some_and(|code| code != [0; 4]),
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & 1 != 0 {
            talk.whole.push(frame.stream);
        }
    }
    Ok(talk)
}

/// The answer that begins with this head; none where these are trailers.
fn response(block: &[u8]) -> Result<Option<Response>, String> {
    let headers = hpack::fields(block)?;
    let status = headers.iter().find(|(name, _)| name == ":status");
    let Some((_, digits)) = status else {
        return Ok(None);
    };
    let digits = String::from_utf8_lossy(digits);
    let status = digits.parse();
    let status = status.map_err(|_| format!("an unreadable status: {digits:?}"))?;
    Ok(Some(Response {
        headers,
        ..Response::bare(status)
    }))
}
