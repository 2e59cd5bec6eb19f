//! A client that does exactly what it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::server::LONG;

/// An HTTP/1.1 response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(super) struct Client {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // A test that waits for something which never comes fails instead of hanging.
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request without a body.
    pub(super) fn ask(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    }

    /// Sends the head of a request with a body.
    pub(super) fn post(&mut self, path: &str, length: usize) {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
        ));
    }

    /// The next response.
    pub(super) fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.parse() {
                return answer;
            }
            let mut buf = [0; 65536];
            let count = self.stream.read(&mut buf).unwrap();
            assert!(
                count > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&self.received)
            );
            self.received.extend_from_slice(&buf[..count]);
        }
    }

    fn parse(&mut self) -> Option<Answer> {
        let end = self
            .received
            .windows(4)
            .position(|four| four == b"\r\n\r\n")?
            + 4;
        let head = String::from_utf8(self.received[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1)?.parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let body = self.received.get(end..end + length)?.to_vec();
        self.received.drain(..end + length);
        Some(Answer { status, head, body })
    }

    /// Reads to the end. Panics on a reset.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.received);
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Asserts that the server closes, without a word, and says how long that took.
    pub(super) fn closed(&mut self) -> Duration {
        let begin = Instant::now();
        assert_eq!(String::from_utf8_lossy(&self.rest()), "");
        begin.elapsed()
    }

    /// Sends the pieces of `bytes` with `pause` between them. Ends early when the server answers.
    pub(super) fn dribble(&mut self, bytes: &[u8], size: usize, pause: Duration) {
        self.stream.set_read_timeout(Some(pause)).unwrap();
        for piece in bytes.chunks(size) {
            if self.stream.write_all(piece).is_err() || self.is_heard() {
                break;
            }
        }
        self.stream.set_read_timeout(Some(LONG)).unwrap();
    }

    /// Whether something arrives, or the server closes, before the read timeout of the stream.
    fn is_heard(&mut self) -> bool {
        let mut buf = [0; 65536];
        match self.stream.read(&mut buf) {
            Ok(count) => self.received.extend_from_slice(&buf[..count]),
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
        true
    }

    /// Whether nothing arrives for `duration`.
    pub(super) fn is_silent_for(&mut self, duration: Duration) -> bool {
        self.stream.set_read_timeout(Some(duration)).unwrap();
        let heard = self.is_heard();
        self.stream.set_read_timeout(Some(LONG)).unwrap();
        !heard
    }

    pub(super) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// Lets the server's own header timeout pass `times` times: each time a client that says nothing
/// is closed.
pub(super) fn let_header_timeout_pass(address: SocketAddr, times: usize) {
    for _ in 0..times {
        Client::new(address).closed();
    }
}
