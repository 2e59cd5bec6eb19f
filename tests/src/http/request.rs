use std::io;
use std::net::SocketAddr;

use super::{Connection, Response};

/// How the body of a request is framed.
#[derive(Debug, Clone)]
pub enum Body {
    /// No body and no header about one.
    None,
    /// `Content-Length` and the bytes.
    Sized(Vec<u8>),
    /// `Transfer-Encoding: chunked`, one HTTP chunk per piece.
    Chunked(Vec<Vec<u8>>),
}

/// A request to be sent as written.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Body::None,
        }
    }

    /// Adds a header line; an earlier one of the same name stays.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Removes every header line of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces every header line of that name by one.
    #[must_use]
    pub fn replace(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.to_owned();
        self
    }

    /// The method.
    #[must_use]
    pub fn verb(&self) -> &str {
        &self.method
    }

    /// The target.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.target
    }

    /// The first value of a header, if it is text.
    #[must_use]
    pub fn value_of(&self, name: &str) -> Option<String> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        String::from_utf8(value.clone()).ok()
    }

    /// Another target.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    /// A body with `Content-Length`.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Sized(bytes.into());
        self
    }

    /// A body with `Transfer-Encoding: chunked`, in pieces of `piece` bytes.
    #[must_use]
    pub fn chunked(mut self, bytes: &[u8], piece: usize) -> Self {
        self.body = Body::Chunked(bytes.chunks(piece.max(1)).map(<[u8]>::to_vec).collect());
        self
    }

    /// The head as it goes over the wire, up to and with the blank line.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let mut out = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\n",
            self.method, self.target
        )
        .into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        match &self.body {
            Body::None => {}
            Body::Sized(bytes) => {
                out.extend_from_slice(format!("Content-Length: {}\r\n", bytes.len()).as_bytes());
            }
            Body::Chunked(_) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The body as it goes over the wire, framing included.
    #[must_use]
    pub fn framed_body(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Sized(bytes) => bytes.clone(),
            Body::Chunked(pieces) => {
                let mut out = Vec::new();
                for piece in pieces {
                    out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    out.extend_from_slice(piece);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
                out
            }
        }
    }

    /// Sends this on a connection of its own and reads the answer.
    ///
    /// # Panics
    /// When no whole answer comes back.
    #[must_use]
    pub fn send(&self, addr: SocketAddr) -> Response {
        let what = format!("{} {}", self.method, self.target);
        let answer = Connection::open(addr).exchange(self);
        answer.unwrap_or_else(|error| panic!("{what}: no answer: {error}"))
    }

    /// As [`Request::send`], for servers that may be dead.
    ///
    /// # Errors
    /// What the socket says.
    pub fn try_send(&self, addr: SocketAddr) -> io::Result<Response> {
        Connection::try_open(addr)?.exchange(self)
    }
}
