use crate::config::key::{Key, key};
use crate::config::kind::{Count, Size};
use crate::config::units::TB;

/// `[limits]`: per owner or address; 0 means no limit.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Requests per second.
    pub requests_per_second: usize,
    /// Requests that may come at once.
    pub burst: usize,
    /// Bytes per second.
    pub bandwidth: u64,
}

pub(super) fn keys() -> Vec<Key> {
    vec![
        key("limits.requests_per_second", Count(0..=1_000_000), |c| {
            &mut c.limits.requests_per_second
        }),
        key("limits.burst", Count(0..=1_000_000), |c| {
            &mut c.limits.burst
        }),
        key("limits.bandwidth", Size(0..=TB), |c| {
            &mut c.limits.bandwidth
        }),
    ]
}
