#![allow(clippy::unwrap_used)]

//! Real sockets on both sides. Clients are blocking ones on the thread of the test; the server runs
//! on its own threads and fails the test when it panics.

mod client;
mod ends;
mod head;
mod http2;
mod parts;
mod places;
mod server;
mod slow;
mod slow_http2;
mod stop;
mod ticks;

#[cfg(feature = "tls")]
pub(super) use server::LIMITS;
