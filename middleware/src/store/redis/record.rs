//! A record as Redis holds it: a field for everything but the received pieces, which are one bit per
//! chunk. Their checksums stay in the log of the server that keeps the upload.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::store::Peer;
use crate::upload::{
    Durability, Entry, Header, Record, Span, State, Timestamp, chunk_span, total_chunks,
};

/// Longest bitmap that is read: 64 Mi chunks.
const CHUNKS_LEN_MAX: usize = 8 << 20;
/// Longest text that is read.
const TEXT_LEN_MAX: usize = 1 << 20;

pub(super) type Fields = Vec<(&'static str, Vec<u8>)>;

const STATES: [State; 7] = [
    State::Receiving,
    State::Finishing,
    State::Undelivered,
    State::Unknown,
    State::Completed,
    State::Rejected,
    State::Cancelled,
];

/// Every field of an upload.
pub(super) fn all(record: &Record, url: Option<&str>) -> Fields {
    let mut fields = progress(record);
    fields.push(("header", json(&told(&record.header))));
    fields.extend(url.map(|url| ("url", url.as_bytes().to_vec())));
    fields.extend(
        outcome(record)
            .into_iter()
            .filter(|(_, value)| !value.is_empty()),
    );
    fields
}

/// A header without what only the hand-off needs, which may be somebody's credentials.
fn told(header: &Header) -> Header {
    let mut header = header.clone();
    header.declaration.headers.clear();
    header
}

/// The fields that `new` entries have changed.
pub(super) fn changed(record: &Record, new: &[Entry]) -> Fields {
    let mut fields = progress(record);
    let is_progress = |entry: &Entry| {
        matches!(
            entry,
            Entry::Received { .. } | Entry::ChunkSize { .. } | Entry::Synced
        )
    };
    if !new.iter().all(is_progress) {
        fields.extend(outcome(record));
    }
    fields
}

/// What every chunk changes.
fn progress(record: &Record) -> Fields {
    vec![
        ("state", record.state.name().into()),
        ("chunk_size", number(record.chunk_size)),
        ("active", number(record.last_activity.0)),
    ]
}

/// What the rest changes; empty where there is nothing.
fn outcome(record: &Record) -> Fields {
    let text = |text: Option<&str>| text.unwrap_or_default().as_bytes().to_vec();
    vec![
        ("ended", record.ended.map_or(Vec::new(), |at| number(at.0))),
        ("attempts", number(record.attempts.into())),
        (
            "failure",
            record.failure.as_deref().map_or(Vec::new(), json),
        ),
        ("answer", record.answer.as_deref().map_or(Vec::new(), json)),
        (
            "name",
            text(record.stored_name.as_ref().map(|name| name.as_str())),
        ),
        ("sha256", text(record.sha256.as_deref())),
        (
            "crc32c",
            record.crc32c.map_or(Vec::new(), |crc| number(crc.into())),
        ),
    ]
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // What an upload consists of always has a JSON form.
    serde_json::to_vec(value).unwrap_or_default()
}

/// The received chunks, but for `without`: nothing, or one bit for every chunk of the file, the
/// first chunk the highest bit of the first byte.
pub(super) fn chunks(record: &Record, without: &[Span]) -> Vec<u8> {
    if record.ranges.is_empty() {
        return Vec::new();
    }
    let count = total_chunks(record.header.declaration.total, record.chunk_size);
    let mut bits = vec![0_u8; usize::try_from(count.div_ceil(8)).unwrap_or(0)];
    let told = record.ranges.iter().map(|(span, _)| span);
    for span in told.filter(|span| !without.contains(span)) {
        let Some(chunk) = chunk_of(record, span) else {
            continue;
        };
        if let Some(byte) = usize::try_from(chunk / 8)
            .ok()
            .and_then(|at| bits.get_mut(at))
        {
            *byte |= 0x80 >> (chunk % 8);
        }
    }
    bits
}

/// What `new` entries change of them: chunk numbers, each with whether it is held.
pub(super) fn changed_chunks(record: &Record, new: &[Entry]) -> Vec<(u64, bool)> {
    let changed = new.iter().filter_map(|entry| match *entry {
        Entry::Received { start, len, .. } => Some((Span { start, len }, true)),
        Entry::Withdrawn { start, len, .. } => Some((Span { start, len }, false)),
        _ => None,
    });
    changed
        .filter_map(|(span, held)| Some((chunk_of(record, span)?, held)))
        .collect()
}

fn chunk_of(record: &Record, span: Span) -> Option<u64> {
    let chunk = span.start / record.chunk_size;
    let total = record.header.declaration.total;
    (chunk_span(total, record.chunk_size, chunk) == Some(span)).then_some(chunk)
}

/// What Redis holds of an upload, and who keeps it.
pub(super) struct Held {
    pub(super) record: Record,
    pub(super) peer: Peer,
    /// When its server began.
    pub(super) since: Timestamp,
}

/// Reads what Redis holds of an upload.
///
/// # Errors
/// The name of the field that does not hold what it should.
pub(super) fn read(fields: &[(String, Vec<u8>)], chunks: &[u8]) -> Result<Held, &'static str> {
    let fields = Read(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect(),
    );
    let header: Header = fields.json("header")?.ok_or("header")?;
    let mut record = Record::new(Arc::new(header));
    record.revision = fields.number("revision")?.ok_or("revision")?;
    let state = fields.text("state")?.ok_or("state")?;
    let state = STATES.into_iter().find(|known| known.name() == state);
    record.state = state.ok_or("state")?;
    record.chunk_size = fields.number("chunk_size")?.ok_or("chunk_size")?;
    if record.chunk_size == 0 {
        return Err("chunk_size");
    }
    record.last_activity = Timestamp(fields.number("active")?.ok_or("active")?);
    record.ended = fields.number("ended")?.map(Timestamp);
    let attempts = fields.number("attempts")?.unwrap_or(0);
    record.attempts = u32::try_from(attempts).map_err(|_| "attempts")?;
    record.failure = fields.json("failure")?.map(Arc::new);
    record.answer = fields.json("answer")?.map(Arc::new);
    record.stored_name = match fields.text("name")? {
        Some(name) => Some(crate::upload::FileName::parse(name).map_err(|_| "name")?),
        None => None,
    };
    record.sha256 = fields.text("sha256")?.map(str::to_owned);
    let crc = fields.number("crc32c")?.map(u32::try_from).transpose();
    record.crc32c = crc.map_err(|_| "crc32c")?;
    read_chunks(&mut record, chunks)?;
    let name = fields.text("server")?.ok_or("server")?.to_owned();
    let url = fields.text("url")?.map(str::to_owned);
    let since = Timestamp(fields.number("fence")?.ok_or("fence")?);
    let peer = Peer { name, url };
    Ok(Held {
        record,
        peer,
        since,
    })
}

fn read_chunks(record: &mut Record, bits: &[u8]) -> Result<(), &'static str> {
    let total = record.header.declaration.total;
    let count = total_chunks(total, record.chunk_size);
    if bits.len() > CHUNKS_LEN_MAX || bits.len() as u64 > count.div_ceil(8) {
        return Err("chunks");
    }
    let bytes = (0_u64..).zip(bits).filter(|(_, byte)| **byte != 0);
    for (at, byte) in bytes {
        for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
            let span = chunk_span(total, record.chunk_size, at * 8 + bit).ok_or("chunks")?;
            // Chunks do not overlap.
            record.ranges.insert(span, 0).map_err(|_| "chunks")?;
        }
    }
    Ok(())
}

/// Fields by name; those that are empty are absent.
struct Read<'a>(HashMap<&'a str, &'a [u8]>);

impl<'a> Read<'a> {
    fn bytes(&self, name: &'static str) -> Result<Option<&'a [u8]>, &'static str> {
        let value = self.0.get(name).copied().filter(|value| !value.is_empty());
        match value {
            Some(value) if value.len() > TEXT_LEN_MAX => Err(name),
            value => Ok(value),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, &'static str> {
        let bytes = self.bytes(name)?;
        bytes
            .map(|bytes| std::str::from_utf8(bytes).map_err(|_| name))
            .transpose()
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, &'static str> {
        let read = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(name)
        };
        self.text(name)?.map(read).transpose()
    }

    fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, &'static str> {
        let bytes = self.bytes(name)?;
        bytes
            .map(|bytes| serde_json::from_slice(bytes).map_err(|_| name))
            .transpose()
    }
}

/// What of a record is not known to survive a power cut, where it should.
pub(super) fn unproven(record: &Record) -> &[Span] {
    let flushes = record.header.durability == Durability::Power;
    match flushes && !record.is_proven {
        true => &record.unproven,
        false => &[],
    }
}
