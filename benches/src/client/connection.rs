use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No server is silent for as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Above every answer.
const ANSWER_MAX: usize = 16 << 10;
const END_OF_HEAD: &str = "\r\n\r\n";

/// A keep-alive HTTP/1.1 connection that knows exactly what it needs.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let buffer = vec![0; ANSWER_MAX];
        Ok(Self { socket, buffer })
    }

    /// Sends a request and answers what follows the head of its answer.
    ///
    /// `head` is the request line and headers, each with its line break, without `Content-Length`.
    pub(crate) fn request(&mut self, head: &str, body: &[u8], status: u16) -> io::Result<&str> {
        let len = body.len();
        let head = format!("{head}Host: bench\r\nContent-Length: {len}{END_OF_HEAD}");
        send(&mut self.socket, head.as_bytes(), body)?;
        let (answered, head_len, len) = self.receive()?;
        let body = text(&self.buffer[head_len..len])?;
        if answered == status {
            Ok(body)
        } else {
            Err(broken(format!("answered {answered}, not {status}: {body}")))
        }
    }

    /// Reads one whole answer: its status, the length of its head, and its length.
    fn receive(&mut self) -> io::Result<(u16, usize, usize)> {
        let (mut len, mut wanted) = (0, None);
        loop {
            let read = self.socket.read(&mut self.buffer[len..])?;
            if read == 0 {
                return Err(broken("an answer broke off, or is too long".to_owned()));
            }
            len += read;
            if wanted.is_none() {
                wanted = parse(text(&self.buffer[..len])?)?;
            }
            if let Some((status, head_len, body_len)) = wanted
                && len >= head_len + body_len
            {
                return Ok((status, head_len, head_len + body_len));
            }
        }
    }
}

/// Head and body in as few system calls as the kernel allows.
fn send(socket: &mut TcpStream, mut head: &[u8], mut body: &[u8]) -> io::Result<()> {
    while !head.is_empty() {
        let sent = match socket.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let of_head = sent.min(head.len());
        head = &head[of_head..];
        body = &body[sent - of_head..];
    }
    socket.write_all(body)
}

/// Status, length of the head and length of the body, once the head is whole.
fn parse(text: &str) -> io::Result<Option<(u16, usize, usize)>> {
    let Some((head, _)) = text.split_once(END_OF_HEAD) else {
        return Ok(None);
    };
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| broken(format!("answered {head:?}")))?;
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let len = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let len = len.map_or(Some(0), |(_, value)| value.trim().parse().ok());
    let len = len.ok_or_else(|| broken(format!("answered {head:?}")))?;
    Ok(Some((status, head.len() + END_OF_HEAD.len(), len)))
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    str::from_utf8(bytes).map_err(|_| broken("an answer is not UTF-8".to_owned()))
}

fn broken(message: String) -> io::Error {
    io::Error::other(message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer() {
        assert_eq!(parse("HTTP/1.1 200 OK\r\nA: b\r\n").unwrap(), None);
        let empty = "HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n";
        assert_eq!(parse(empty).unwrap(), Some((204, empty.len(), 0)));
        let head = "HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(
            parse(&format!("{head}{{}}")).unwrap(),
            Some((201, head.len(), 12))
        );
        assert!(parse("HTTP/1.1 OK\r\n\r\n").is_err());
    }
}
