//! Many clients that are slow, on one thread: each sends a little whenever it is its turn.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::data;
use crate::http::{Connection, Response};
use crate::upload::{Client, Session};

/// The head of a request that goes no further.
const HALF_A_HEAD: &[u8] = b"PUT /upload/chunked HTTP/1.1\r\nHost: localhost\r\nX-Chunk-";

/// Lets this process, and those that it starts, have as many connections as it may, and says how many files
/// that are.
///
/// # Errors
/// What the system says.
pub fn raise_file_limit() -> io::Result<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let most = limit.maximum.map_or(usize::MAX, |most| most as usize);
    setrlimit(Resource::Nofile, limit)?;
    Ok(most)
}

/// Connections that begin a request and never end its head.
///
/// # Errors
/// What the sockets say.
pub fn half_heads(client: Client, count: usize) -> io::Result<Vec<Connection>> {
    let open = |_| {
        let mut connection = Connection::try_open(client.addr())?;
        connection.write(HALF_A_HEAD)?;
        Ok(connection)
    };
    (0..count).map(open).collect()
}

/// Clients that each send one chunk, which is all of its file.
#[derive(Debug)]
pub struct Crowd {
    file: Vec<u8>,
    sent: usize,
    senders: Vec<(Session, Connection)>,
}

impl Crowd {
    /// Creates `count` uploads of `len` bytes, and sends the heads of their chunks.
    ///
    /// # Errors
    /// What the sockets say.
    ///
    /// # Panics
    /// When a create is refused.
    pub fn open(client: Client, count: usize, len: usize) -> io::Result<Self> {
        let file = data::random(1, len);
        let open = |number| {
            let request = client.create_request(&format!("slow-{number}.bin"), len);
            let session = client.open(&request.header("X-Chunk-Size", len.to_string()));
            let mut connection = Connection::try_open(client.addr())?;
            let head = client.chunk_head(&session, 0);
            connection.write(&head.header("Content-Length", len.to_string()).head())?;
            Ok((session, connection))
        };
        let senders = (0..count).map(open).collect::<io::Result<_>>()?;
        Ok(Self {
            file,
            sent: 0,
            senders,
        })
    }

    /// Lets each send the next `len` bytes. Answers whether there are any left.
    ///
    /// # Errors
    /// What the sockets say.
    pub fn send(&mut self, len: usize) -> io::Result<bool> {
        let end = self.file.len().min(self.sent + len);
        for (_, connection) in &mut self.senders {
            connection.write(&self.file[self.sent..end])?;
        }
        self.sent = end;
        Ok(end < self.file.len())
    }

    /// What they are answered.
    ///
    /// # Errors
    /// What the sockets say.
    pub fn answers(self) -> io::Result<Vec<(Session, Response)>> {
        let answer = |(session, mut connection): (Session, Connection)| {
            Ok((session, connection.response("PUT")?))
        };
        self.senders.into_iter().map(answer).collect()
    }
}
