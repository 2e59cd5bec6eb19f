use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::UploadConfig;
use crate::network::pattern::{Patterns, matches};
use crate::network::snapshot::{Interface, Route, Snapshot, route_v4, route_v6};

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn interface(runs: bool, texts: &[&str]) -> Interface {
    Interface {
        runs,
        addresses: addresses(texts),
    }
}

fn words(now: &Snapshot, before: &Snapshot) -> Vec<String> {
    now.since(before)
}

#[test]
fn patterns() {
    for (pattern, name, fits) in [
        ("*", "eth0", true),
        ("eth?", "eth0", true),
        ("eth?", "eth10", false),
        ("veth*", "veth", true),
        ("*.10", "enp3s0.10", true),
        ("w*n*", "wlan0", true),
        ("lo", "lo0", false),
        ("", "lo", false),
    ] {
        assert_eq!(
            matches(pattern.as_bytes(), name.as_bytes()),
            fits,
            "{pattern} {name}"
        );
    }
    let network = UploadConfig::default().network;
    let patterns = Patterns::new(&network.watch, &network.ignore);
    for name in ["eth0", "wlan0", "wwan0", "enp3s0"] {
        assert!(patterns.count(name), "{name}");
    }
    for name in [
        "lo", "docker0", "veth12ab", "br-1f", "virbr0", "cali7", "tun0", "wg0",
    ] {
        assert!(!patterns.count(name), "{name}");
    }
}

#[test]
fn differences_are_said_in_words() {
    let mut before = Snapshot::default();
    let eth = || "eth0".to_owned();
    assert!(words(&before, &before).is_empty());
    before
        .interfaces
        .insert(eth(), interface(true, &["192.0.2.1"]));
    assert_eq!(words(&before, &Snapshot::default()), ["eth0 has 192.0.2.1"]);
    assert_eq!(
        words(&Snapshot::default(), &before),
        ["eth0 lost 192.0.2.1"]
    );
    let mut now = before.clone();
    now.interfaces
        .insert(eth(), interface(false, &["192.0.2.1"]));
    assert_eq!(words(&now, &before), ["eth0 does not run"]);
    now.interfaces
        .insert(eth(), interface(true, &["192.0.2.2", "2001:db8::1"]));
    assert_eq!(
        words(&now, &before),
        [
            "eth0 has 192.0.2.2",
            "eth0 has 2001:db8::1",
            "eth0 lost 192.0.2.1"
        ]
    );
    now = before.clone();
    now.routes.insert(Route {
        interface: eth(),
        gateway: "010200C0".to_owned(),
        metric: "100".to_owned(),
    });
    assert_eq!(words(&now, &before), ["eth0 has a default route"]);
    assert_eq!(words(&before, &now), ["eth0 lost a default route"]);
}

#[test]
fn default_routes_are_read_as_the_kernel_writes_them() {
    let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
              eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
              eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
              eth1\t00000000\t010200C0\t0002\t0\t0\t100\t00000000\t0\t0\t0\n";
    let routes: Vec<_> = v4.lines().filter_map(route_v4).collect();
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!(
        (routes[0].interface.as_str(), routes[0].metric.as_str()),
        ("eth0", "100")
    );
    let zero = "0".repeat(32);
    let gateway = "fe800000000000000000000000000001";
    let v6 = format!(
        "{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00000003     eth0\n\
         {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
         20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n"
    );
    let routes: Vec<_> = v6.lines().filter_map(route_v6).collect();
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!(routes[0].gateway, gateway);
}

#[test]
fn this_machine_can_be_looked_at() {
    let all = Patterns::new(&["*".to_owned()], &[]);
    let seen = Snapshot::take(&all).unwrap();
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let mut interfaces = seen.interfaces.values();
    assert!(
        interfaces.any(|interface| interface.addresses.contains(&loopback)),
        "{seen:?}"
    );
}
