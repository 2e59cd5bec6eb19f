#![allow(clippy::unwrap_used, reason = "tests")]

mod bandwidth;
mod bucket;
mod budget;
mod line;
mod queue;
mod rates;
mod scale;
mod who;
