use std::time::Duration;

use crate::config::key::{Key, key};
use crate::config::kind::{List, Span, Text};
use crate::config::text;
use crate::config::units::{DAY, INSTANT};

/// `[network]`: how a change of network is noticed and waited for (seed: network resilience guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// How often the interfaces are looked at where the system does not report changes.
    pub poll_interval: Duration,
    /// How long the network must be quiet before uploads go on.
    pub settle: Duration,
    /// The longest pause; after it, changes are ignored for as long.
    pub max_pause: Duration,
    /// Patterns of the interfaces that count.
    pub watch: Vec<String>,
    /// Patterns of the interfaces that do not.
    pub ignore: Vec<String>,
}

impl Default for Network {
    fn default() -> Self {
        // What containers, virtual machines and tunnels come and go with.
        let ignored = [
            "lo",
            "docker*",
            "veth*",
            "br-*",
            "virbr*",
            "vnet*",
            "tap*",
            "tun*",
            "wg*",
            "tailscale*",
            "zt*",
            "cni*",
            "cali*",
            "cilium*",
            "flannel*",
            "lxc*",
            "podman*",
        ];
        Self {
            poll_interval: Duration::from_secs(5),
            settle: Duration::from_secs(2),
            max_pause: Duration::from_secs(15),
            watch: vec!["*".to_owned()],
            ignore: ignored.map(str::to_owned).to_vec(),
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let some_time = || Span(INSTANT..=DAY);
    let patterns = || {
        List(Text {
            expected: "the name of an interface such as \"eth0\" or \"wlan*\"",
            valid: text::is_interface_pattern,
        })
    };
    vec![
        key("network.poll_interval", some_time(), |c| {
            &mut c.network.poll_interval
        }),
        key("network.settle", some_time(), |c| &mut c.network.settle),
        key("network.max_pause", some_time(), |c| {
            &mut c.network.max_pause
        }),
        key("network.watch", patterns(), |c| &mut c.network.watch),
        key("network.ignore", patterns(), |c| &mut c.network.ignore),
    ]
}
