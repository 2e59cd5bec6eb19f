//! The load: every stream is a thread with a connection of its own.

mod connection;
mod payload;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use connection::Connection;
pub(crate) use payload::Payload;
use stream::Stream;

use crate::contestant::Contestant;
use crate::workload::Workload;

/// Connects all streams, lets them make their uploads, and answers how long those took.
pub(crate) fn drive(
    contestant: Contestant,
    workload: &Workload,
    address: SocketAddr,
    payload: &Payload,
) -> io::Result<Duration> {
    let mut streams = Vec::new();
    for number in 0..workload.streams {
        let connection = Connection::open(address)?;
        streams.push(Stream::new(
            contestant, *workload, number, connection, payload,
        ));
    }
    let begun = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = streams
            .into_iter()
            .map(|stream| scope.spawn(move || stream.run()))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let panicked = |_| Err(io::Error::other("a stream panicked"));
            thread.join().unwrap_or_else(panicked)
        })
    })?;
    Ok(begun.elapsed())
}
