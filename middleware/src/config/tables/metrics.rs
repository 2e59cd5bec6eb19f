use crate::config::key::{Key, key};
use crate::config::kind::{Optional, Text};
use crate::config::text;

/// `[metrics]`: numbers for monitoring, on an address of their own.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// `host:port` that answers with Prometheus text.
    pub listen: Option<String>,
}

pub(super) fn keys() -> Vec<Key> {
    let host_port = Text {
        expected: "an address and a port such as \"127.0.0.1:9090\"",
        valid: text::is_host_port,
    };
    vec![key("metrics.listen", Optional(host_port), |c| {
        &mut c.metrics.listen
    })]
}
