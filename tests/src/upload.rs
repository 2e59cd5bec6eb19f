//! The chunked dialect from the client's side, as the specification words it.

use std::net::SocketAddr;

use serde_json::Value;

use crate::config::SECRET;
use crate::data;
use crate::http::{Request, Response};
use crate::message::{self, Signing};
use crate::wait;

/// The route of create, chunk and cancel.
pub const CHUNKED: &str = "/upload/chunked";

/// `X-Signature` of the scheme `path`: lower-case hex HMAC-SHA256 of the path.
#[must_use]
pub fn sign(path: &str) -> String {
    data::hmac_hex(SECRET, path)
}

/// What create answered.
#[derive(Debug, Clone)]
pub struct Session {
    /// The session id.
    pub id: String,
    /// Bytes of every chunk but the last.
    pub chunk_size: usize,
    /// Number of chunks.
    pub total_chunks: usize,
    /// The whole answer.
    pub answer: Value,
}

impl Session {
    /// Reads the answer to a create.
    ///
    /// # Panics
    /// When a promised field is missing.
    #[must_use]
    pub fn from_answer(answer: Value) -> Self {
        let number = |name: &str| {
            let found = answer[name]
                .as_u64()
                .unwrap_or_else(|| panic!("no {name}: {answer}"));
            usize::try_from(found).expect("fits")
        };
        let id = answer["session_id"]
            .as_str()
            .expect("a session id")
            .to_owned();
        Self {
            id,
            chunk_size: number("chunk_size"),
            total_chunks: number("total_chunks"),
            answer,
        }
    }

    /// The bytes of chunk `index` of `file`.
    ///
    /// # Panics
    /// When the file has no such chunk.
    #[must_use]
    pub fn chunk<'a>(&self, file: &'a [u8], index: usize) -> &'a [u8] {
        let start = index * self.chunk_size;
        &file[start..file.len().min(start + self.chunk_size)]
    }
}

/// A client of one server.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    addr: SocketAddr,
    by_message: bool,
}

impl Client {
    /// A client of the server at `addr`.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            by_message: false,
        }
    }

    /// One that signs every request by the scheme `message`.
    #[must_use]
    pub fn by_message(addr: SocketAddr) -> Self {
        Self {
            addr,
            by_message: true,
        }
    }

    fn send(&self, request: &Request) -> Response {
        if !self.by_message {
            return request.send(self.addr);
        }
        let components = message::required(request);
        let request = request.clone().without("X-Signature");
        let signed = Signing::default().sign(request, components);
        signed.send(self.addr)
    }

    /// The server's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A signed create, ready to be changed.
    #[must_use]
    pub fn create_request(&self, name: &str, size: usize) -> Request {
        let request = Request::new("POST", CHUNKED).header("X-Filename", name);
        request
            .header("X-Total-Size", size.to_string())
            .header("X-Signature", sign(CHUNKED))
    }

    /// Creates a session.
    ///
    /// # Panics
    /// When the answer is not a 201 with the promised fields.
    #[must_use]
    pub fn create(&self, name: &str, size: usize) -> Session {
        self.open(&self.create_request(name, size))
    }

    /// Creates a session with a request of the test's own.
    ///
    /// # Panics
    /// When the answer is not a 201 with the promised fields.
    #[must_use]
    pub fn open(&self, request: &Request) -> Session {
        Session::from_answer(self.send(request).status_is(201).json())
    }

    /// The head of a chunk's request, to which a body is added.
    #[must_use]
    pub fn chunk_head(&self, session: &Session, index: usize) -> Request {
        let request = Request::new("PUT", CHUNKED).header("X-Upload-Session-ID", &session.id);
        request.header("X-Chunk-Number", index.to_string())
    }

    /// A chunk's request.
    #[must_use]
    pub fn chunk_request(&self, session: &Session, index: usize, bytes: &[u8]) -> Request {
        let typed = self
            .chunk_head(session, index)
            .header("Content-Type", "application/octet-stream");
        let typed = match self.by_message {
            true => typed.header("Content-Digest", data::digest_sha256(bytes)),
            false => typed,
        };
        typed.body(bytes)
    }

    /// Sends bytes as chunk `index`.
    #[must_use]
    pub fn put(&self, session: &Session, index: usize, bytes: &[u8]) -> Response {
        self.send(&self.chunk_request(session, index, bytes))
    }

    /// Sends chunk `index` of `file`.
    #[must_use]
    pub fn put_chunk(&self, session: &Session, file: &[u8], index: usize) -> Response {
        self.put(session, index, session.chunk(file, index))
    }

    /// Sends all chunks of `file` in order and returns the last answer.
    ///
    /// # Panics
    /// When one before the last is refused.
    #[must_use]
    pub fn put_all(&self, session: &Session, file: &[u8]) -> Response {
        let last = session.total_chunks - 1;
        for index in 0..last {
            let _ = self.put_chunk(session, file, index).status_is(200);
        }
        self.put_chunk(session, file, last)
    }

    /// Creates a session and sends the whole file; the last answer is not judged.
    #[must_use]
    pub fn upload(&self, name: &str, file: &[u8]) -> (Session, Response) {
        let session = self.create(name, file.len());
        let last = self.put_all(&session, file);
        (session, last)
    }

    /// A status request.
    #[must_use]
    pub fn status_request(&self, id: &str) -> Request {
        Request::new("GET", &format!("/upload/status?session_id={id}"))
    }

    /// Asks for the status of whatever has this id.
    #[must_use]
    pub fn ask(&self, id: &str) -> Response {
        self.send(&self.status_request(id))
    }

    /// The status of a session.
    ///
    /// # Panics
    /// When it is not a 200.
    #[must_use]
    pub fn status(&self, session: &Session) -> Value {
        self.ask(&session.id).status_is(200).json()
    }

    /// The `state` of a session.
    ///
    /// # Panics
    /// When status is not a 200 with a state.
    #[must_use]
    pub fn state(&self, session: &Session) -> String {
        self.status(session)["state"]
            .as_str()
            .expect("a state")
            .to_owned()
    }

    /// Polls status until the session is in `state`, and returns that status.
    ///
    /// # Panics
    /// When it does not get there.
    #[must_use]
    pub fn until_state(&self, session: &Session, state: &str) -> Value {
        wait::eventually(&format!("state {state}"), wait::SOON, || {
            let status = self.status(session);
            (status["state"] == state).then_some(status)
        })
    }

    /// Cancels a session.
    #[must_use]
    pub fn cancel(&self, session: &Session) -> Response {
        let request = Request::new("DELETE", CHUNKED);
        self.send(&request.header("X-Upload-Session-ID", &session.id))
    }
}
