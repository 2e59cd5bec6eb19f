#![allow(clippy::unwrap_used, reason = "tests")]

mod budget;
mod line;
mod queue;
mod scale;
