#![allow(clippy::unwrap_used, reason = "tests")]

mod captured;
mod frames;
mod parser;
mod requests;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Request;
use http_body::Body as _;

use super::body::Digested;
use super::{HandoffBody, Template};
use crate::blob::{Blob, Hold, Queued};
use crate::config::{Delivery as Config, Form};
use crate::engine::{Damage, Delivery};
use crate::store::BoxFuture;
use crate::upload::tests::sample::{declaration, key};
use crate::upload::{Crc32c, Durability, Header, Limits, Owner, Ranges, Span, Timestamp};

/// Bytes the body reads at once, as it shows.
fn read_len() -> usize {
    let (request, _) = request_of(&raw(), header(1 << 21), vec![0; 1 << 21].into());
    let mut body = request.into_body();
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) else {
        panic!("the file is ready");
    };
    frame.into_data().unwrap().len()
}

/// Bytes in which the files were received.
const PIECE: usize = 1_000;

/// A file that is always ready, as one in the page cache nearly is.
struct Ready {
    bytes: Bytes,
    /// Reading at this offset fails.
    broken_at: Option<u64>,
}

impl Blob for Ready {
    fn write_now(&self, _: u64, _: &[u8]) -> Option<io::Result<()>> {
        None
    }

    fn write(&self, _: u64, _: Bytes, _: Hold) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    fn flush(&self, _: Option<Queued>) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    fn recover(&self) -> BoxFuture<'static, io::Result<()>> {
        self.flush(None)
    }

    fn len(&self) -> BoxFuture<'static, io::Result<u64>> {
        Box::pin(std::future::ready(Ok(self.bytes.len() as u64)))
    }

    fn read(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        let start = usize::try_from(offset).unwrap();
        let read = match self.broken_at {
            Some(at) if (offset..offset + len as u64).contains(&at) => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            _ => Ok(self.bytes.slice(start..start + len)),
        };
        Box::pin(std::future::ready(read))
    }
}

/// The bytes of every test file: no two neighbouring pieces are alike.
fn content(len: usize) -> Bytes {
    let period: Vec<u8> = (0..=250).collect();
    let mut bytes = period.repeat(len / period.len() + 1);
    bytes.truncate(len);
    bytes.into()
}

fn header(total: u64) -> Header {
    let limits = Limits {
        chunk_size: 10,
        chunk_size_min: 5,
        chunk_size_max: 20,
    };
    let (created, owner) = (Timestamp(1), Owner::default());
    Header {
        created,
        owner,
        signer: None,
        declaration: declaration(total),
        limits,
        durability: Durability::Power,
    }
}

/// The request of a file, and where its digest goes.
fn request_of(config: &Config, header: Header, bytes: Bytes) -> (Request<HandoffBody>, Digested) {
    Template::new(config)
        .unwrap()
        .request(delivery(header, bytes), [7; 16])
}

/// An upload whose bytes are as they were received.
fn delivery(header: Header, bytes: Bytes) -> Delivery {
    let mut pieces = Ranges::default();
    for (number, piece) in (0..).zip(bytes.chunks(PIECE)) {
        let span = Span {
            start: number * PIECE as u64,
            len: piece.len() as u64,
        };
        pieces.insert(span, Crc32c::of(piece)).unwrap();
    }
    let blob = Arc::new(Ready {
        bytes,
        broken_at: None,
    });
    Delivery {
        key: key(1),
        header: Arc::new(header),
        blob,
        pieces,
        damage: Damage::default(),
        wants_sha256: true,
    }
}

fn multipart(bytes: &Bytes) -> (Request<HandoffBody>, Digested) {
    request_of(
        &Config::default(),
        header(bytes.len() as u64),
        bytes.clone(),
    )
}

fn raw() -> Config {
    Config {
        form: Form::Raw,
        ..Config::default()
    }
}
