//! A client of a server that may die at any moment: nothing here panics.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::plan::{Agreed, Declared, Plan};
use crate::data;
use crate::http::{Connection, Request, Response};
use crate::upload::{CHUNKED, sign};

/// A connection that is opened when it is first needed.
#[derive(Debug)]
pub struct Wire {
    addr: SocketAddr,
    open: Option<Connection>,
    /// Whether the last request was written to its end.
    whole: bool,
}

impl Wire {
    /// A client of the server at `addr`.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            open: None,
            whole: false,
        }
    }

    /// Whether the last request was written to its end, so that the server may have all of it.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.whole
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// What the socket says: whether the server has seen the request is not known then.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        self.whole = false;
        let mut connection = match self.open.take() {
            Some(connection) => connection,
            None => Connection::try_open(self.addr)?,
        };
        let response = connection.exchange(request);
        self.whole = connection.wrote_all();
        let response = response?;
        if response.text("connection").as_deref() != Some("close") {
            self.open = Some(connection);
        }
        Ok(response)
    }

    /// Sends a request that may be repeated: a connection that broke meanwhile is opened anew.
    ///
    /// # Errors
    /// What the socket says.
    pub fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let was_open = self.open.is_some();
        match self.send(request) {
            Err(_) if was_open => {
                let whole = self.whole;
                let again = self.send(request);
                self.whole |= whole;
                again
            }
            other => other,
        }
    }

    /// Sends the head and some of the body, then leaves without having heard anything.
    pub fn abandon(&mut self, request: &Request, bytes: usize) -> Option<Response> {
        self.open = None;
        self.whole = false;
        let mut connection = Connection::try_open(self.addr).ok()?;
        connection.write(&request.head()).ok()?;
        let body = request.framed_body();
        connection.write(&body[..bytes.min(body.len())]).ok()?;
        self.whole = bytes >= body.len();
        // Otherwise the server would often see the end before it has read anything.
        connection.end_writing();
        connection.closed(Duration::from_millis(20));
        None
    }
}

/// A create.
#[must_use]
pub fn create(plan: &Plan) -> Request {
    let mut request = Request::new("POST", CHUNKED)
        .header("X-Filename", &plan.name)
        .header("X-Total-Size", plan.size.to_string())
        .header("X-Signature", sign(CHUNKED));
    if plan.agreed == Agreed::Declared {
        request = request.header("X-Chunk-Size", plan.chunk_size.to_string());
    }
    if let Some(key) = &plan.idempotency {
        request = request.header("Idempotency-Key", key);
    }
    match plan.declared {
        Declared::Nothing => request,
        Declared::Truth => request.header("Repr-Digest", data::digest_sha256(&plan.whole())),
        Declared::Falsehood => request.header("Repr-Digest", data::digest_sha256(b"another")),
    }
}

/// A chunk.
#[must_use]
pub fn chunk(id: &str, number: usize, bytes: Vec<u8>) -> Request {
    Request::new("PUT", CHUNKED)
        .header("X-Upload-Session-ID", id)
        .header("X-Chunk-Number", number.to_string())
        .body(bytes)
}

/// A status request.
#[must_use]
pub fn status(id: &str) -> Request {
    Request::new("GET", "/upload/status").header("X-Upload-Session-ID", id)
}

/// A cancel.
#[must_use]
pub fn cancel(id: &str) -> Request {
    Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", id)
}

/// A request of the app's own.
#[must_use]
pub fn other() -> Request {
    Request::new("GET", "/files")
}
