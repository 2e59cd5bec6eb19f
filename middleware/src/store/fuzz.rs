//! What fuzzers try of stores.

pub(crate) use super::disk::fuzz as disk;
#[cfg(feature = "redis")]
pub(crate) use super::redis::fuzz as redis;
