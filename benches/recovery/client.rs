//! As much of HTTP as it takes.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// An answer: its status, and the whole of it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    /// The text member `name` of a JSON body.
    pub(crate) fn member(&self, name: &str) -> io::Result<&str> {
        let rest = self.text.split_once(&format!("\"{name}\":\""));
        let value = rest.and_then(|(_, rest)| rest.split_once('"'));
        value
            .map(|(value, _)| value)
            .ok_or_else(|| io::Error::other(format!("no {name} in {}", self.text)))
    }
}

/// Asks for an upload that is there.
pub(crate) fn status(server: SocketAddr, id: &str) -> io::Result<()> {
    let answer = ask(
        server,
        &format!("GET /upload/status?session_id={id}"),
        "",
        &[],
    )?;
    match answer.status {
        200 => Ok(()),
        _ => Err(io::Error::other(answer.text)),
    }
}

/// Asks for a new upload; answers the status.
pub(crate) fn create(server: SocketAddr) -> io::Result<u16> {
    let headers = "X-Filename: one-more.bin\r\nX-Total-Size: 1000000\r\n";
    Ok(ask(server, "POST /upload/chunked", headers, &[])?.status)
}

pub(crate) fn ask(
    server: SocketAddr,
    line: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<Answer> {
    let mut connection = TcpStream::connect(server)?;
    let length = body.len();
    write!(
        connection,
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n"
    )?;
    connection.write_all(body)?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no answer: {text}")))?;
    Ok(Answer { status, text })
}
