//! The load: every stream is a thread with a connection of its own.

mod connection;
mod lanes;
mod payload;
mod stream;
mod upload;

use std::io;
use std::net::SocketAddr;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

pub(crate) use connection::Connection;
pub(crate) use lanes::{Lanes, Limit};
pub(crate) use payload::Payload;
use stream::Stream;
use upload::Upload;

use crate::contestant::Contestant;
use crate::workload::Workload;

/// Connects all streams, lets them make their uploads, and answers how long those took, and what
/// the server says that an acknowledgement means.
pub(crate) fn drive(
    contestant: Contestant,
    workload: &Workload,
    address: SocketAddr,
    payload: &Payload,
) -> io::Result<(Duration, Option<String>)> {
    let mut streams = Vec::new();
    for number in 0..workload.streams {
        streams.push(Stream {
            contestant,
            workload,
            number,
            connection: Connection::open(address)?,
            payload,
        });
    }
    let begun = Instant::now();
    let mut durability = None;
    thread::scope(|scope| {
        let threads: Vec<_> = streams
            .into_iter()
            .map(|stream| scope.spawn(move || stream.run()))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            durability = joined(thread)?;
            Ok::<_, io::Error>(())
        })
    })?;
    Ok((begun.elapsed(), durability))
}

fn joined<T>(thread: ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    let panicked = |_| Err(io::Error::other("a stream panicked"));
    thread.join().unwrap_or_else(panicked)
}
