//! The bytes of a log file.
//!
//! ```text
//! file   = magic (8) salt (16) frame*
//! frame  = length of payload (u32 LE) check (u32 LE) payload
//! check  = masked CRC-32C of bound salt, offset of the frame (u64 LE) and payload
//! bound salt = salt XOR the bytes of the file's name, over and over
//! payload = 1 start len crc at      a received range, binary: 29 bytes
//!         | 2 JSON                  every other entry
//!         | 3                       all before was flushed
//! ```
//!
//! The salt keeps blocks of an older file from parsing, the name keeps a whole older file from
//! standing in for a new one after a power cut, the offset keeps frames where they were
//! written, the mask keeps a run of zeros from being valid.

use std::io;

use crate::sabotage::{Bug, has};
use crate::upload::{Crc32c, Durability, Entry, Timestamp};

pub(super) const MAGIC: [u8; 8] = *b"SFUPLOG1";
pub(super) const PREFIX_LEN: usize = 24;
const FRAME_HEAD_LEN: usize = 8;
/// Above every entry: an answer's 64 KiB take 128 KiB in hex.
const PAYLOAD_LEN_MAX: usize = 1 << 20;
const KIND_RECEIVED: u8 = 1;
const KIND_JSON: u8 = 2;
const KIND_SYNCED: u8 = 3;

pub(super) type Salt = [u8; 16];

/// The beginning of a new file.
pub(super) fn prefix(salt: Salt) -> Vec<u8> {
    [MAGIC.as_slice(), salt.as_slice()].concat()
}

/// Reads the beginning of a file.
pub(super) fn read_prefix(bytes: &[u8]) -> Option<Salt> {
    let salt = bytes
        .strip_prefix(&MAGIC)?
        .get(..PREFIX_LEN - MAGIC.len())?;
    salt.try_into().ok()
}

/// The salt of the checks in a file of that name.
pub(super) fn bind(mut salt: Salt, name: &[u8]) -> Salt {
    if has(Bug::NoSalt) {
        return Salt::default();
    }
    for (at, byte) in name.iter().enumerate() {
        salt[at % salt.len()] ^= byte;
    }
    salt
}

/// Adds the frame of `entry` to `out`, which will be written at `offset` of the file.
pub(super) fn push_frame(
    out: &mut Vec<u8>,
    salt: &Salt,
    offset: u64,
    entry: &Entry,
) -> Result<(), serde_json::Error> {
    push_payload(out, salt, offset, &payload(entry)?).map_err(serde_json::Error::io)
}

/// Adds the frame around a payload.
pub(super) fn push_payload(
    out: &mut Vec<u8>,
    salt: &Salt,
    offset: u64,
    payload: &[u8],
) -> io::Result<()> {
    let frame_offset = offset + out.len() as u64;
    if payload.len() > PAYLOAD_LEN_MAX {
        let message = "an entry of the log is too long";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&check(salt, frame_offset, payload).to_le_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

fn payload(entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    if let Entry::Received {
        start,
        len,
        crc,
        at,
    } = entry
    {
        let mut payload = vec![KIND_RECEIVED];
        payload.extend_from_slice(&start.to_le_bytes());
        payload.extend_from_slice(&len.to_le_bytes());
        payload.extend_from_slice(&crc.to_le_bytes());
        payload.extend_from_slice(&at.0.to_le_bytes());
        return Ok(payload);
    }
    if *entry == Entry::Synced {
        return Ok(vec![KIND_SYNCED]);
    }
    let mut payload = vec![KIND_JSON];
    serde_json::to_writer(&mut payload, entry)?;
    Ok(payload)
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) entries: Vec<Entry>,
    /// Length of the file up to the last whole frame.
    pub(super) len: u64,
    /// Whether frames that were flushed stand behind a broken one: not a torn tail, but damage.
    pub(super) damaged: bool,
}

/// Reads a whole file whose prefix is good.
pub(super) fn parse(bytes: &[u8], salt: &Salt) -> Parsed {
    let mut entries = Vec::new();
    let mut offset = PREFIX_LEN;
    let mut unreadable = false;
    while let Some((entry, next)) = frame_at(bytes, salt, offset) {
        let Some(entry) = entry else {
            unreadable = true;
            break;
        };
        entries.push(entry);
        offset = next;
    }
    let mut behind = (offset + 1..bytes.len())
        .filter(|&offset| may_begin(bytes, offset))
        .filter_map(|offset| frame_at(bytes, salt, offset));
    let damaged = unreadable
        || behind.any(|(entry, _)| !may_be_torn(&entries, entry.as_ref()))
        || (entries.is_empty() && first_is_whole(bytes));
    Parsed {
        entries,
        len: offset as u64,
        damaged,
    }
}

/// Whether a good frame behind a broken one is no sign of damage. A disk writes what is flushed
/// together in any order, so after a power cut the last flush may be there in part; but a mark
/// is written only when all before it was flushed.
fn may_be_torn(before: &[Entry], behind: Option<&Entry>) -> bool {
    let flushes = matches!(before.first(), Some(Entry::Created(header)) if header.durability == Durability::Power);
    flushes && behind.is_some_and(|entry| *entry != Entry::Synced)
}

/// Whether the first frame has the length it says and an end: then it was written whole, and no
/// death in the middle of a create explains that it does not check.
fn first_is_whole(bytes: &[u8]) -> bool {
    let len = bytes
        .get(PREFIX_LEN..PREFIX_LEN + 4)
        .and_then(|len| len.try_into().ok());
    len.map(u32::from_le_bytes).is_some_and(|len| {
        let len = len as usize;
        (1..=PAYLOAD_LEN_MAX).contains(&len)
            && bytes
                .get(PREFIX_LEN + FRAME_HEAD_LEN + len - 1)
                .is_some_and(|&last| last != 0)
    })
}

/// Whether a frame of this version may begin at `offset`, as far as shows without its checksum. Behind a
/// broken frame one is looked for everywhere, and where lengths seem to be large everywhere, the
/// checksums of them all would take minutes.
fn may_begin(bytes: &[u8], offset: usize) -> bool {
    let head = bytes
        .get(offset..)
        .and_then(|rest| rest.split_first_chunk());
    let Some((len, payload)) = head.and_then(|(len, rest)| {
        let payload = rest.get(FRAME_HEAD_LEN - len.len()..)?;
        Some((u32::from_le_bytes(*len), payload))
    }) else {
        return false;
    };
    matches!(
        (len, payload),
        (29, [KIND_RECEIVED, ..]) | (1, [KIND_SYNCED, ..]) | (_, [KIND_JSON, b'{', ..])
    )
}

/// The frame at `offset`, if it checks, and where the next one begins. A frame that checks and holds
/// no entry we know was written by another version of this program.
fn frame_at(bytes: &[u8], salt: &Salt, offset: usize) -> Option<(Option<Entry>, usize)> {
    let head = bytes.get(offset..offset + FRAME_HEAD_LEN)?;
    let len = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    let expected = u32::from_le_bytes(head[4..].try_into().ok()?);
    if len == 0 || len > PAYLOAD_LEN_MAX {
        return None;
    }
    let start = offset + FRAME_HEAD_LEN;
    let payload = bytes.get(start..start + len)?;
    if check(salt, offset as u64, payload) != expected {
        return None;
    }
    Some((read_payload(payload), start + len))
}

fn read_payload(payload: &[u8]) -> Option<Entry> {
    let (kind, rest) = payload.split_first()?;
    match *kind {
        KIND_RECEIVED if rest.len() == 28 => Some(Entry::Received {
            start: u64::from_le_bytes(rest[..8].try_into().ok()?),
            len: u64::from_le_bytes(rest[8..16].try_into().ok()?),
            crc: u32::from_le_bytes(rest[16..20].try_into().ok()?),
            at: Timestamp(u64::from_le_bytes(rest[20..].try_into().ok()?)),
        }),
        KIND_SYNCED if rest.is_empty() => Some(Entry::Synced),
        KIND_JSON => serde_json::from_slice(rest).ok(),
        _ => None,
    }
}

fn check(salt: &Salt, offset: u64, payload: &[u8]) -> u32 {
    let mut crc = Crc32c::default();
    crc.update(salt);
    crc.update(&offset.to_le_bytes());
    crc.update(payload);
    crc.finish().rotate_right(15).wrapping_add(0xa282_ead8)
}
