//! The model against naive models of itself.

#![allow(clippy::unwrap_used, reason = "tests")]

mod digests;
mod ids;
mod names;
mod plan;
mod ranges;
mod record;
mod rules;
pub(crate) mod sample;
mod timestamps;
