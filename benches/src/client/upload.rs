use std::io;

use super::connection::Connection;
use crate::contestant::Contestant;

/// An upload that has begun, and how its chunks are sent.
pub(crate) struct Upload {
    /// What the server says that an acknowledgement means.
    pub(crate) durability: Option<String>,
    target: Target,
    total: u64,
    chunk: u64,
}

enum Target {
    /// The number of a file of a bare server.
    File(u64),
    /// The session of a resumable upload.
    Session(String),
}

impl Upload {
    /// Begins upload `number`, of `total` bytes in chunks of `chunk`.
    pub(crate) fn begin(
        connection: &mut Connection,
        contestant: Contestant,
        number: u64,
        total: u64,
        chunk: u64,
    ) -> io::Result<Self> {
        let (durability, target) = if contestant.is_resumable() {
            let head = format!(
                "POST /upload/chunked HTTP/1.1\r\nX-Filename: {number}.bin\r\nX-Total-Size: {total}\r\nX-Chunk-Size: {chunk}\r\n"
            );
            let created = connection.request(&head, b"", 201)?;
            let id = member(created, "\"session_id\":\"", '"')?.to_owned();
            let durability = member(created, "\"durability\":\"", '"')?.to_owned();
            (Some(durability), Target::Session(id))
        } else {
            (None, Target::File(number))
        };
        Ok(Self {
            durability,
            target,
            total,
            chunk,
        })
    }

    /// How many bytes chunk `number` has.
    pub(crate) fn len_of(&self, number: u64) -> u64 {
        self.chunk.min(self.total - number * self.chunk)
    }

    /// Sends chunk `number`, and waits until it is acknowledged.
    pub(crate) fn send(
        &self,
        connection: &mut Connection,
        number: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let (total, offset) = (self.total, number * self.chunk);
        match &self.target {
            Target::File(name) => {
                let head = format!("PUT /{name}.bin/{offset}/{total} HTTP/1.1\r\n");
                connection.request(&head, bytes, 204)?;
            }
            Target::Session(id) => {
                let head = format!(
                    "PUT /upload/chunked HTTP/1.1\r\nX-Upload-Session-ID: {id}\r\nX-Chunk-Number: {number}\r\n"
                );
                let answer = connection.request(&head, bytes, 200)?;
                let is_last = offset + self.len_of(number) == total;
                if member(answer, "\"completed\":", ',')? != is_last.to_string() {
                    return Err(io::Error::other(format!("chunk {number}: {answer}")));
                }
            }
        }
        Ok(())
    }

    /// How many bytes of it the server says it holds; `None`: it cannot say.
    pub(crate) fn held(&self, connection: &mut Connection) -> io::Result<Option<u64>> {
        let Target::Session(id) = &self.target else {
            return Ok(None);
        };
        let head = format!("GET /upload/status?session_id={id} HTTP/1.1\r\n");
        let answer = connection.request(&head, b"", 200)?;
        let held = member(answer, "\"uploaded_bytes\":", ',')?.parse();
        held.map(Some).map_err(io::Error::other)
    }
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
