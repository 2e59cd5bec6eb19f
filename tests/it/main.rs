//! Black-box tests of the chunked dialect: the real program, real sockets, a module per topic.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod bulk;
mod cancel;
mod chunk;
mod create;
mod digests;
mod document;
mod duplicates;
mod early;
mod errors;
mod expiry;
mod foreign;
mod foreign_app;
mod handoff;
mod handoff_damage;
mod handoff_request;
mod health;
mod idempotency;
mod kill;
mod limits;
mod machine;
mod memory;
mod names;
mod nginx_harness;
mod numbers;
mod parallel;
mod passthrough;
mod plain_hyper;
mod privacy;
mod proxy_harness;
mod races;
mod readme;
mod redis_harness;
mod restart;
mod restart_damage;
mod restart_handoff;
mod rust_text;
mod seed;
mod signature;
mod sizes;
mod slow_disk;
mod status;
mod store_mode;
mod tidy;
