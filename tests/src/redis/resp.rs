//! A client of the Redis protocol (RESP2) that is small enough to be trusted.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// No reply may take longer than this.
pub const REPLY_LIMIT: Duration = Duration::from_secs(10);

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Simple(String),
    /// `-ERR ...`, without the dash
    Error(String),
    /// `:1`
    Integer(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// No such thing.
    Nil,
    /// A list of replies.
    Array(Vec<Self>),
}

impl Reply {
    /// A string, simple or not; of bytes that are no text, something similar.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Simple(text) => Some(text.clone()),
            Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// A number, also one that comes as a string.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => self.text()?.parse().ok(),
        }
    }

    /// The strings of a list.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Array(replies) => replies.iter().filter_map(Self::text).collect(),
            _ => Vec::new(),
        }
    }

    /// The error, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

trait Socket: Read + Write + Send {}
impl<S: Read + Write + Send> Socket for S {}

/// One connection.
pub struct Connection(BufReader<Box<dyn Socket>>);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Connects over TCP.
    ///
    /// # Errors
    /// What the socket says.
    pub fn tcp(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, REPLY_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        Ok(Self(BufReader::new(Box::new(stream))))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// What the socket says.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        Ok(Self(BufReader::new(Box::new(stream))))
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// What the socket says; an error the server replies with is a [`Reply`].
    pub fn command(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.send(words)?;
        self.reply()
    }

    /// Sends a command.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send(&mut self, words: &[&str]) -> io::Result<()> {
        self.send_all(&[words])
    }

    /// Sends commands in one piece.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send_all(&mut self, commands: &[&[&str]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for words in commands {
            write!(bytes, "*{}\r\n", words.len())?;
            for word in *words {
                write!(bytes, "${}\r\n{word}\r\n", word.len())?;
            }
        }
        self.0.get_mut().write_all(&bytes)
    }

    /// Reads a reply, or what a subscription pushes.
    ///
    /// # Errors
    /// What the socket says, or that it is no reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let line = String::from_utf8_lossy(line);
        let (Some(kind), Some(rest)) = (line.get(..1), line.get(1..)) else {
            return Err(malformed(&line));
        };
        let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Ok(length) => self.bulk(length)?,
                Err(_) => Reply::Nil,
            },
            "*" => match usize::try_from(number()?) {
                Ok(count) => {
                    Reply::Array((0..count).map(|_| self.reply()).collect::<Result<_, _>>()?)
                }
                Err(_) => Reply::Nil,
            },
            _ => return Err(malformed(&line)),
        })
    }

    fn bulk(&mut self, length: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Reply::Bulk(bytes))
    }
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no reply: {line:?}"))
}
