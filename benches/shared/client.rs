//! As much of HTTP as it takes, on a connection that is kept.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::server::CHUNK;

pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        let connection = TcpStream::connect(server)?;
        connection.set_nodelay(true)?;
        Ok(Self(BufReader::new(connection)))
    }

    /// Makes a session of so many chunks; answers its id.
    pub(crate) fn create(&mut self, chunks: usize) -> io::Result<String> {
        let total = chunks * CHUNK;
        let head = format!(
            "POST /upload/chunked HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
             X-Filename: a.bin\r\nX-Total-Size: {total}\r\nX-Chunk-Size: {CHUNK}\r\n\r\n"
        );
        let (status, body) = self.exchange(head.as_bytes())?;
        let id = body
            .split_once("\"session_id\":\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        match (status, id) {
            (201, Some((id, _))) => Ok(id.to_owned()),
            _ => Err(io::Error::other(format!("{status}: {body}"))),
        }
    }

    /// Sends a chunk.
    pub(crate) fn put(&mut self, id: &str, chunk: usize) -> io::Result<()> {
        let mut request = format!(
            "PUT /upload/chunked HTTP/1.1\r\nHost: localhost\r\nContent-Length: {CHUNK}\r\n\
             X-Upload-Session-ID: {id}\r\nX-Chunk-Number: {chunk}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(&[b'x'; CHUNK]);
        match self.exchange(&request)? {
            (200, _) => Ok(()),
            (status, body) => Err(io::Error::other(format!("{status}: {body}"))),
        }
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, String)> {
        self.0.get_mut().write_all(request)?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().map_err(io::Error::other)?;
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().map_err(io::Error::other)?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
