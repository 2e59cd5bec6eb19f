use std::io;

use super::{Connection, Payload};
use crate::contestant::Contestant;
use crate::workload::Workload;

/// The uploads of one connection.
pub(super) struct Stream<'a> {
    contestant: Contestant,
    workload: Workload,
    number: u64,
    connection: Connection,
    payload: &'a Payload,
}

/// Part of an upload.
struct Chunk<'a> {
    number: u64,
    offset: u64,
    bytes: &'a [u8],
    is_last: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        contestant: Contestant,
        workload: Workload,
        number: u64,
        connection: Connection,
        payload: &'a Payload,
    ) -> Self {
        Self {
            contestant,
            workload,
            number,
            connection,
            payload,
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        for upload in 0..self.workload.uploads {
            let number = self.number * self.workload.uploads + upload;
            if self.contestant.is_resumable() {
                self.resumable(number)?;
            } else {
                self.bare(number)?;
            }
        }
        Ok(())
    }

    /// One `PUT` for each chunk.
    fn bare(&mut self, upload: u64) -> io::Result<()> {
        let total = self.workload.bytes;
        for chunk in chunks(self.payload, upload, total) {
            let offset = chunk.offset;
            let head = format!("PUT /{upload}.bin/{offset}/{total} HTTP/1.1\r\n");
            self.connection.request(&head, chunk.bytes, 204)?;
        }
        Ok(())
    }

    /// One request that begins the upload, then one for each chunk.
    fn resumable(&mut self, upload: u64) -> io::Result<()> {
        let total = self.workload.bytes;
        let head = format!(
            "POST /upload/chunked HTTP/1.1\r\nX-Filename: {upload}.bin\r\nX-Total-Size: {total}\r\n"
        );
        let created = self.connection.request(&head, b"", 201)?;
        let id = member(created, "\"session_id\":\"", '"')?.to_owned();
        for chunk in chunks(self.payload, upload, total) {
            let number = chunk.number;
            let head = format!(
                "PUT /upload/chunked HTTP/1.1\r\nX-Upload-Session-ID: {id}\r\nX-Chunk-Number: {number}\r\n"
            );
            let answer = self.connection.request(&head, chunk.bytes, 200)?;
            if member(answer, "\"completed\":", ',')? != chunk.is_last.to_string() {
                return Err(io::Error::other(format!("chunk {number}: {answer}")));
            }
        }
        Ok(())
    }
}

fn chunks(payload: &Payload, upload: u64, total: u64) -> impl Iterator<Item = Chunk<'_>> {
    (0..total.div_ceil(Workload::CHUNK)).map(move |number| {
        let offset = number * Workload::CHUNK;
        let len = Workload::CHUNK.min(total - offset);
        Chunk {
            number,
            offset,
            bytes: payload.cut(upload + number, len),
            is_last: offset + len == total,
        }
    })
}

/// What stands between `before` and `end` in JSON whose shape is known.
fn member<'a>(json: &'a str, before: &str, end: char) -> io::Result<&'a str> {
    let value = json
        .split_once(before)
        .and_then(|(_, rest)| rest.split_once(end));
    value
        .map(|(value, _)| value)
        .ok_or_else(|| io::Error::other(format!("no {before} in {json}")))
}
