use std::time::Duration;

use crate::config::key::{Key, key};
use crate::config::kind::Span;
use crate::config::units::{DAY, INSTANT, YEARS};

/// `[timeouts]` (seed: network resilience guide).
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// How long a whole request may take, pauses not counted (seed).
    pub readtimeout: Duration,
    /// How long a response may take (seed).
    pub writetimeout: Duration,
    /// How long a connection may wait for its next request (seed).
    pub idletimeout: Duration,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long open requests may go on when the server stops. Zero: not at all.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            readtimeout: Duration::from_secs(4800),
            writetimeout: Duration::from_secs(4800),
            idletimeout: Duration::from_secs(4800),
            header_timeout: Duration::from_secs(10),
            shutdown: Duration::from_secs(30),
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let some_time = || Span(INSTANT..=YEARS);
    vec![
        key("timeouts.readtimeout", some_time(), |c| {
            &mut c.timeouts.readtimeout
        }),
        key("timeouts.writetimeout", some_time(), |c| {
            &mut c.timeouts.writetimeout
        }),
        key("timeouts.idletimeout", some_time(), |c| {
            &mut c.timeouts.idletimeout
        }),
        key("timeouts.header_timeout", some_time(), |c| {
            &mut c.timeouts.header_timeout
        }),
        key("timeouts.shutdown", Span(Duration::ZERO..=DAY), |c| {
            &mut c.timeouts.shutdown
        }),
    ]
}
