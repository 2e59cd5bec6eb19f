use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use super::pattern::Patterns;

/// The network of this machine at one moment, as far as it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) interfaces: BTreeMap<String, Interface>,
    pub(super) routes: BTreeSet<Route>,
}

/// An interface with an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    /// It is switched on, and there is a carrier.
    pub(super) runs: bool,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// A default route, as the kernel writes its fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) interface: String,
    pub(super) gateway: String,
    pub(super) metric: String,
}

impl Snapshot {
    /// Looks at the network of this process.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn take(patterns: &Patterns) -> io::Result<Self> {
        let mut this = Self::default();
        for found in getifaddrs()? {
            let address = found.address.as_ref().and_then(ip);
            // An address may have a label: the name of its interface, a colon, and more.
            let name = found.interface_name.split(':').next().unwrap_or_default();
            let Some(address) = address.filter(|_| patterns.count(name)) else {
                continue;
            };
            let on = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
            let interface = this.interfaces.entry(name.to_owned()).or_default();
            interface.runs = found.flags.contains(on);
            interface.addresses.insert(address);
        }
        let (v4, v6) = (read("/proc/net/route")?, read("/proc/net/ipv6_route")?);
        let routes = v4.lines().filter_map(route_v4);
        let routes = routes.chain(v6.lines().filter_map(route_v6));
        this.routes = routes
            .filter(|route| patterns.count(&route.interface))
            .collect();
        Ok(this)
    }

    /// What is different from `before`, for the log; nothing if nothing is.
    pub(super) fn since(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let names: BTreeSet<&String> = self
            .interfaces
            .keys()
            .chain(before.interfaces.keys())
            .collect();
        for name in names {
            let [now, then] = [self, before].map(|of| of.interfaces.get(name));
            if let (Some(now), Some(then)) = (now, then)
                && now.runs != then.runs
            {
                let verb = if now.runs { "runs" } else { "does not run" };
                found.push(format!("{name} {verb}"));
            }
            let none = BTreeSet::new();
            let [now, then] = [now, then].map(|of| of.map_or(&none, |of| &of.addresses));
            let gained = now.difference(then).map(|address| (true, address));
            let lost = then.difference(now).map(|address| (false, address));
            found.extend(gained.chain(lost).map(|(is_new, address)| {
                let verb = if is_new { "has" } else { "lost" };
                format!("{name} {verb} {address}")
            }));
        }
        let gained = self.routes.difference(&before.routes);
        let lost = before.routes.difference(&self.routes);
        found.extend(gained.map(|route| format!("{} has a default route", route.interface)));
        found.extend(lost.map(|route| format!("{} lost a default route", route.interface)));
        found
    }
}

/// What a file of the kernel says; nothing where the system has no such file.
fn read(path: &str) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

const ROUTE_UP: u32 = 0x1;
const ROUTE_REJECT: u32 = 0x200;

fn leads_somewhere(flags: &str) -> bool {
    let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
    flags & ROUTE_UP != 0 && flags & ROUTE_REJECT == 0
}

/// A line of `/proc/net/route`, if it is a default route.
pub(super) fn route_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [interface, to, gateway, flags, _, _, metric, mask, ..] = fields[..] else {
        return None;
    };
    let is_default = to == "00000000" && mask == "00000000" && leads_somewhere(flags);
    is_default.then(|| Route::new(interface, gateway, metric))
}

/// A line of `/proc/net/ipv6_route`, if it is a default route.
pub(super) fn route_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [to, len, _, _, gateway, metric, _, _, flags, interface] = fields[..] else {
        return None;
    };
    let is_default = to.bytes().all(|digit| digit == b'0') && len == "00" && leads_somewhere(flags);
    is_default.then(|| Route::new(interface, gateway, metric))
}

impl Route {
    fn new(interface: &str, gateway: &str, metric: &str) -> Self {
        let own = str::to_owned;
        Self {
            interface: own(interface),
            gateway: own(gateway),
            metric: own(metric),
        }
    }
}
