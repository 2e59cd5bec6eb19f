use std::net::SocketAddr;

use serde_json::Value;

use super::{Connection, Request};

/// One server-sent event (WHATWG HTML, section 9.2).
#[derive(Debug, Clone, PartialEq)]
pub struct SentEvent {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: u64,
    /// Its data.
    pub data: Value,
}

/// A stream of server-sent events, read strictly.
#[derive(Debug)]
pub struct Events {
    connection: Connection,
    read: String,
}

impl Events {
    /// Opens the stream of an upload.
    ///
    /// # Panics
    /// When the answer is not a stream.
    #[must_use]
    pub fn open(addr: SocketAddr, session_id: &str) -> Self {
        let target = format!("/upload/events?session_id={session_id}");
        let mut connection = Connection::open(addr);
        let sent = connection.write(&Request::new("GET", &target).head());
        sent.expect("the request is taken");
        let (status, headers) = connection.head().expect("an answer");
        assert_eq!(status, 200, "{headers:?}");
        let has = |name: &str, value: &[u8]| {
            let found = headers.iter().find(|(known, _)| known == name);
            assert_eq!(found.map(|(_, value)| &value[..]), Some(value), "{name}");
        };
        has("content-type", b"text/event-stream");
        has("cache-control", b"no-store");
        has("transfer-encoding", b"chunked");
        Self {
            connection,
            read: String::new(),
        }
    }

    /// The next event; `None` where the stream ends in good order. Comments are left out.
    ///
    /// # Panics
    /// When it breaks off, or is malformed.
    pub fn next_event(&mut self) -> Option<SentEvent> {
        loop {
            let block = self.block()?;
            if block.lines().any(|line| !line.starts_with(':')) {
                return Some(parse(&block));
            }
        }
    }

    /// The names of all events until the end of the stream.
    ///
    /// # Panics
    /// As [`Events::next_event`].
    #[must_use]
    pub fn names(mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_event())
            .map(|event| event.name)
            .collect()
    }

    /// The next lines up to a blank one.
    fn block(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.find("\n\n") {
                let block = self.read.drain(..at + 2).collect();
                return Some(block);
            }
            let piece = self.connection.http_chunk().expect("an open stream");
            let Some(piece) = piece else {
                assert_eq!(self.read, "", "it ends behind an event");
                return None;
            };
            self.read
                .push_str(std::str::from_utf8(&piece).expect("UTF-8"));
        }
    }
}

fn parse(block: &str) -> SentEvent {
    let field = |wanted: &str| {
        let mut lines = block.trim_end().lines();
        let found = lines.find_map(|line| line.strip_prefix(wanted)?.strip_prefix(": "));
        found.unwrap_or_else(|| panic!("{wanted} in {block:?}"))
    };
    assert_eq!(block.trim_end().lines().count(), 3, "{block:?}");
    SentEvent {
        name: field("event").to_owned(),
        id: field("id").parse().expect("a revision"),
        data: serde_json::from_str(field("data")).expect("JSON"),
    }
}
