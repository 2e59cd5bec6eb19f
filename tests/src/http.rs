//! A raw HTTP/1.1 client over one blocking socket.
//!
//! It sends exactly the bytes it is told to: duplicated headers, bytes that are not text,
//! half a body, a chunked body cut anywhere. It reads answers strictly enough to notice a
//! wrong length.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No answer may take longer than this.
pub const READ_LIMIT: Duration = Duration::from_secs(30);

type Headers = Vec<(String, Vec<u8>)>;

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
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Body::None }
    }

    /// Adds a header line; an earlier one of the same name stays.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Removes every header line of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
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
        let mut out = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        match &self.body {
            Body::None => {}
            Body::Sized(bytes) => out.extend_from_slice(format!("Content-Length: {}\r\n", bytes.len()).as_bytes()),
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

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn open(addr: SocketAddr) -> Self {
        Self::try_open(addr).unwrap_or_else(|error| panic!("connecting to {addr}: {error}"))
    }

    /// Connects.
    ///
    /// # Errors
    /// What the socket says.
    pub fn try_open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, READ_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        stream.set_write_timeout(Some(READ_LIMIT))?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// A second handle on the same socket, to write while another thread reads.
    ///
    /// # Panics
    /// When the process has no descriptor left.
    #[must_use]
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a descriptor")
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// What the socket says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends head and body, then reads the answer.
    ///
    /// # Errors
    /// What the socket says; a body that could not be written is not an error when an
    /// answer can still be read.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let mut bytes = request.head();
        bytes.extend_from_slice(&request.framed_body());
        let written = self.write(&bytes);
        let answer = self.response(&request.method);
        if answer.is_err() {
            written?;
        }
        answer
    }

    /// Sends the head with `Expect: 100-continue` and waits for the `100`: afterwards the
    /// server is known to be reading the body of this request.
    ///
    /// # Panics
    /// When another answer comes.
    pub fn start(&mut self, request: &Request) {
        let head = request.clone().header("Expect", "100-continue").head();
        self.write(&head).expect("the head is taken");
        let (status, _) = self.head().expect("an interim answer");
        assert_eq!(status, 100, "the server asks for the body");
    }

    /// No more bytes from this side; answers can still be read.
    pub fn end_writing(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// True when the peer has closed and sent nothing more.
    pub fn closed(&mut self, within: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(within));
        let ended = match self.stream.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        };
        let _ = self.stream.set_read_timeout(Some(READ_LIMIT));
        ended
    }

    /// Reads one final answer; interim ones are collected on the way.
    ///
    /// # Errors
    /// When the connection ends early or the answer is malformed.
    pub fn response(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let (status, headers) = self.head()?;
            if (100..200).contains(&status) {
                interim.push(status);
                continue;
            }
            let mut response = Response { status, headers, body: Vec::new(), interim };
            response.body = self.body_of(method, &response)?;
            return Ok(response);
        }
    }

    fn head(&mut self) -> io::Result<(u16, Headers)> {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let mut lines = head[..end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().unwrap_or_default();
        let status = first.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let status = status.ok_or_else(|| malformed("status line"))?;
        let mut headers = Vec::new();
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| malformed("header line"))?;
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        Ok((status, headers))
    }

    fn body_of(&mut self, method: &str, response: &Response) -> io::Result<Vec<u8>> {
        if method == "HEAD" || response.status == 204 || response.status == 304 {
            return Ok(Vec::new());
        }
        if response.text("transfer-encoding").as_deref() == Some("chunked") {
            return self.chunked_body();
        }
        if let Some(length) = response.text("content-length") {
            return self.take(length.parse().map_err(|_| malformed("content-length"))?);
        }
        while self.fill().is_ok() {}
        Ok(std::mem::take(&mut self.read))
    }

    fn chunked_body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.read, b"\r\n") {
                    break at;
                }
                self.fill()?;
            };
            let line: Vec<u8> = self.read.drain(..end + 2).collect();
            let size = std::str::from_utf8(&line[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            let size = size.ok_or_else(|| malformed("chunk size"))?;
            let piece = self.take(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&piece[..size]);
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < count {
            self.fill()?;
        }
        Ok(self.read.drain(..count).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.read.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Interim statuses that came before.
    pub interim: Vec<u16>,
}

impl Response {
    /// The one value of a header as text.
    ///
    /// # Panics
    /// When the header comes twice.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let first = values.next()?;
        assert!(values.next().is_none(), "{name} comes twice: {self:?}");
        Some(String::from_utf8_lossy(&first.1).into_owned())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is something else.
    #[must_use]
    pub fn json(&self) -> Value {
        let shown = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{} not JSON ({error}): {shown:?}", self.status))
    }

    /// The `code` of an error, empty when the body has none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts status and `code`, and hands the answer on.
    ///
    /// # Panics
    /// When either differs.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let shown = String::from_utf8_lossy(&self.body).into_owned();
        assert_eq!((self.status, self.code().as_str()), (status, code), "{shown}");
        self
    }

    /// Asserts the status, and hands the answer on.
    ///
    /// # Panics
    /// When it differs.
    #[track_caller]
    pub fn status_is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Asserts a 2xx.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn success(self) -> Self {
        let shown = String::from_utf8_lossy(&self.body);
        assert!((200..300).contains(&self.status), "{} {shown}", self.status);
        self
    }
}

/// Runs `work` on `count` threads that start together, and collects what they return.
///
/// # Panics
/// When one of them panics.
pub fn together<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let gate = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                let (gate, work) = (&gate, &work);
                scope.spawn(move || {
                    gate.wait();
                    work(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

/// How long `work` took, and what it returned.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let out = work();
    (start.elapsed(), out)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|at| at == needle)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}"))
}
