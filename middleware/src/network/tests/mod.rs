#![allow(clippy::unwrap_used)]

mod gate;
mod settle;
mod snapshot;
mod watch;
