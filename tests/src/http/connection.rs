use std::io::{self, Read, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::{Request, Response};

/// No answer may take longer than this.
pub const READ_LIMIT: Duration = Duration::from_secs(30);

type Headers = Vec<(String, Vec<u8>)>;

/// One connection, or whatever else answers are read from.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    read: Vec<u8>,
    wrote_all: bool,
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
        Self::try_open_within(addr, READ_LIMIT)
    }

    /// Connects from an address of this machine.
    ///
    /// # Panics
    /// When nobody listens, or it is not one of this machine's.
    #[must_use]
    pub fn open_from(from: IpAddr, addr: SocketAddr) -> Self {
        let connect = || {
            let family = match from {
                IpAddr::V4(_) => AddressFamily::INET,
                IpAddr::V6(_) => AddressFamily::INET6,
            };
            let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            net::bind(&socket, &SocketAddr::new(from, 0))?;
            net::connect(&socket, &addr)?;
            Self::over(TcpStream::from(socket))
        };
        connect().unwrap_or_else(|error| panic!("connecting from {from} to {addr}: {error}"))
    }

    /// Connects, if that takes no longer than this.
    ///
    /// # Errors
    /// What the socket says.
    pub fn try_open_within(addr: SocketAddr, within: Duration) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&addr, within)?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        stream.set_write_timeout(Some(READ_LIMIT))?;
        Ok(Self {
            stream,
            read: Vec::new(),
            wrote_all: false,
        })
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
        self.wrote_all = written.is_ok();
        let answer = self.response(request.verb());
        if answer.is_err() {
            written?;
        }
        answer
    }

    /// Whether the last exchange wrote its whole request.
    #[must_use]
    pub fn wrote_all(&self) -> bool {
        self.wrote_all
    }

    /// Sends the head with `Expect: 100-continue` and waits for the `100`: afterwards the
    /// server is known to be reading the body of this request.
    ///
    /// # Panics
    /// When another answer comes.
    pub fn start(&mut self, request: &Request) {
        let refused = self.offer(request);
        assert!(
            refused.is_none(),
            "the server asks for the body: {refused:?}"
        );
    }

    /// Sends the head with `Expect: 100-continue` and waits for the `100`, or for the answer
    /// that comes instead.
    ///
    /// # Panics
    /// When none comes.
    pub fn offer(&mut self, request: &Request) -> Option<Response> {
        let head = request.clone().header("Expect", "100-continue").head();
        self.write(&head).expect("the head is taken");
        let (status, headers) = self.head().expect("an answer");
        if status == 100 {
            return None;
        }
        let answer = self.answer(request.verb(), status, headers, Vec::new());
        Some(answer.expect("the whole answer"))
    }

    /// No more bytes from this side; answers can still be read.
    pub fn end_writing(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// True when the peer has closed and sent nothing more.
    pub fn closed(&mut self, within: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(within));
        let ended = loop {
            match self.stream.read(&mut [0; 1]) {
                Ok(count) => break count == 0,
                // With a timeout a read is not begun anew after a signal, such as a child's end.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() == io::ErrorKind::ConnectionReset,
            }
        };
        let _ = self.stream.set_read_timeout(Some(READ_LIMIT));
        ended
    }
}

impl<S: Read> Connection<S> {
    /// Reads the answers in `stream`.
    pub fn reading(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
            wrote_all: false,
        }
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
            return self.answer(method, status, headers, interim);
        }
    }

    pub(crate) fn answer(
        &mut self,
        method: &str,
        status: u16,
        headers: Headers,
        interim: Vec<u16>,
    ) -> io::Result<Response> {
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
            interim,
        };
        response.body = self.body_of(method, &response)?;
        Ok(response)
    }

    pub(crate) fn head(&mut self) -> io::Result<(u16, Headers)> {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let mut lines = head[..end]
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().unwrap_or_default();
        let status = first
            .strip_prefix(b"HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let status = status.ok_or_else(|| malformed("status line"))?;
        let mut headers = Vec::new();
        for line in lines {
            let colon = line
                .iter()
                .position(|byte| *byte == b':')
                .ok_or_else(|| malformed("header line"))?;
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
        while let Some(piece) = self.http_chunk()? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The next piece of a chunked body; `None` at its end.
    pub(super) fn http_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n") {
                break at;
            }
            self.fill()?;
        };
        let line: Vec<u8> = self.read.drain(..end + 2).collect();
        let size = std::str::from_utf8(&line[..end])
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or_else(|| malformed("chunk size"))?;
        let mut piece = self.take(size + 2)?;
        piece.truncate(size);
        Ok((size > 0).then_some(piece))
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < count {
            self.fill()?;
        }
        Ok(self.read.drain(..count).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let count = loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&piece[..count]);
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|at| at == needle)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}"))
}
