//! A raw HTTP/1.1 client over one blocking socket.
//!
//! It sends exactly the bytes it is told to: duplicated headers, bytes that are not text,
//! half a body, a chunked body cut anywhere. It reads answers strictly enough to notice a
//! wrong length.

mod connection;
mod events;
mod request;
mod response;

use std::time::{Duration, Instant};

pub use connection::{Connection, READ_LIMIT};
pub use events::{Events, SentEvent};
pub use request::{Body, Request};
pub use response::Response;

/// Runs `work` on `count` threads that start together, and collects what they return.
///
/// # Panics
/// When one of them panics.
pub fn together<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let gate = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                let (gate, work) = (&gate, &work);
                scope.spawn(move || {
                    gate.wait();
                    work(index)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .collect()
    })
}

/// How long `work` took, and what it returned.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let out = work();
    (start.elapsed(), out)
}
