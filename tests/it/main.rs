//! Black-box tests of the chunked dialect: the real program, real sockets, a module per topic.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bulk;
mod kill;
mod machine;
mod document;
mod foreign;
mod foreign_app;
mod readme;
mod seed;
mod rust_text;
mod tidy;
mod memory;
mod parallel;
mod cancel;
mod chunk;
mod create;
mod digests;
mod duplicates;
mod early;
mod errors;
mod expiry;
mod handoff;
mod handoff_request;
mod idempotency;
mod limits;
mod names;
mod numbers;
mod passthrough;
mod plain_hyper;
mod privacy;
mod races;
mod restart;
mod restart_damage;
mod restart_handoff;
mod signature;
mod sizes;
mod slow_disk;
mod status;
mod store_mode;
