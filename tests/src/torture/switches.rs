//! The network changes under an upload: two links, of which now one and now the other is there.
//!
//! Server and client have a network of their own each, with two cables between them. At every switch
//! one link dies, in one of several ways, and the client goes on over the other; then the first one
//! comes back. The connection that died is still open on the server's side.
//!
//! 1. The upload completes, byte for byte.
//! 2. No more is sent again than one chunk a switch.
//! 3. Uploads go on soon after the other link can be used, and after the first is back.
//! 4. No pause is longer than it may be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::context::{Context, Profile};
use super::finding::Finding;
use super::instance::{Instance, Setup};
use super::phone::{self, Phone, Sent};
use super::report::Report;
use super::rng::Rng;
use crate::config::Config;
use crate::namespace::Namespace;

/// Both links, by the names of the server's interfaces.
pub const LINKS: [&str; 2] = ["wifi0", "lte0"];
const SERVER: [&str; 2] = ["192.0.2.1", "198.51.100.1"];
const CLIENT: [&str; 2] = ["192.0.2.2", "198.51.100.2"];
const PORT: u16 = 8080;

/// What each link carries: the upload is to outlast the switches.
const RATE: &str = "120mbit";
/// Bytes of a chunk.
pub const CHUNK: usize = 1 << 20;

/// The pause that a change costs. The default of 2 s is longer than uploads may take to go on here.
const SETTLE: Duration = Duration::from_millis(300);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What a look and a line of the log may take beyond that.
const SLACK: Duration = Duration::from_millis(500);

/// 99 of 100 times uploads go on within this time.
const GOES_ON_MAX: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// For so long it is looked at what a change comes to: it may be seen, and paused for, a while later.
const WINDOW: Duration = Duration::from_millis(800);

const GOES_ON: &str = "longest wait for an acknowledgement after a switch";
const UNSEEN: &str = "the same after one that the server does not see";
const IS_BACK: &str = "longest wait for an acknowledgement after a link is back";
const PAUSES: &str = "pauses";

/// How a link dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The server's interface is switched off.
    Down,
    /// The cable is pulled at the other end.
    Unplugged,
    /// The server loses its address.
    Address,
    /// The server's answers lead nowhere.
    BlackHole,
    /// Nothing happens but that the client's socket is gone, and does not say so.
    Silent,
}

const DEATHS: [Death; 5] = [
    Death::Down,
    Death::Unplugged,
    Death::Address,
    Death::BlackHole,
    Death::Silent,
];

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    if let Err(why) = Namespace::usable() {
        return Report::skipped(why);
    }
    let switches = context.cycles(10, 100);
    let mib = match context.profile {
        Profile::Quick => 256,
        Profile::Full => 2_048,
    };
    let rng = context.rng("switches");
    let dir = tempfile::tempdir().expect("a temporary directory");
    Namespace::run(|server| {
        let done = phone::in_its_network(|client| {
            wire(server, client);
            upload(context, dir.path(), (server, client), rng, (switches, mib))
        });
        done.unwrap_or_else(Report::skipped)
    })
}

/// Lays two cables between the networks.
fn wire(server: &Namespace, client: &Phone) {
    for (nth, link) in LINKS.iter().enumerate() {
        server.ip(&format!("link add {link} type veth peer name phone-{link}"));
        server.ip(&format!("link set phone-{link} netns {}", client.id()));
        server.ip(&format!("addr add {}/24 dev {link}", SERVER[nth]));
        server.ip(&format!("link set {link} up"));
        client.ip(&format!("addr add {}/24 dev phone-{link}", CLIENT[nth]));
        client.ip(&format!("link set phone-{link} up"));
        let shape =
            format!("qdisc add dev phone-{link} root tbf rate {RATE} burst 256kb latency 50ms");
        client.run("tc", &shape);
    }
}

fn upload(
    context: &Context,
    dir: &Path,
    (server, client): (&Namespace, &Phone),
    rng: Rng,
    (switches, mib): (usize, usize),
) -> Report {
    let mut report = Report::default();
    let config = format!(
        "[server]\nnetworkevents = true\n[network]\nsettle = \"{}ms\"\nmax_pause = \"{}s\"\n\
         [uploads]\nchunk_size = \"1MB\"\n[logging]\nformat = \"json\"",
        SETTLE.as_millis(),
        PAUSE_MAX.as_secs()
    );
    let setup = Setup {
        command: vec![context.programs.server.clone()],
        work: dir.to_owned(),
        config: Config::with(&config),
        env: context.env.clone(),
        addr: SocketAddr::from(([0, 0, 0, 0], PORT)),
    };
    let mut instance = Instance::spawn(&setup, &[]);
    match instance.answered() {
        Ok(took) => report.restarts.push(took),
        Err(why) => {
            report.found.push(Finding::Odd(why));
            return report;
        }
    }
    let addresses = SERVER.map(|ip| SocketAddr::new(ip.parse().expect("an address"), PORT));
    let sent = client.upload(addresses, mib, |sent| {
        strike(&mut report, server, (client, sent), rng, switches);
    });
    let stored = dir.join("uploads").join(phone::NAME);
    judge(&mut report, &sent, &stored, switches);
    pauses(&mut report, &instance.logs());
    report
}

/// Switches from one link to the other, and back.
fn strike(
    report: &mut Report,
    server: &Namespace,
    (client, sent): (&Phone, &Sent),
    mut rng: Rng,
    switches: usize,
) {
    for nth in 0..switches {
        let (old, new) = (nth % 2, (nth + 1) % 2);
        let death = DEATHS[nth / 2 % DEATHS.len()];
        std::thread::sleep(rng.millis(50..=300));
        if sent.is_done() {
            let text = format!("the upload was over after {nth} switches");
            report.found.push(Finding::Odd(text));
            return;
        }
        die(server, client, death, old);
        sent.switch(new);
        let usable = Instant::now();
        client.run("ss", &format!("-K state all dst {}", SERVER[old]));
        // Without a pause: what is seen is the take-over, and what sending a chunk takes.
        let what = match death {
            Death::BlackHole | Death::Silent => UNSEEN,
            _ => GOES_ON,
        };
        goes_on(report, sent, what, usable);
        revive(server, client, death, old);
        goes_on(report, sent, IS_BACK, Instant::now());
        report.cycles += 1;
        report.note(&format!("{death:?}"), 1);
    }
}

/// Waits until it is seen how uploads go on.
fn goes_on(report: &mut Report, sent: &Sent, what: &str, since: Instant) {
    match sent.longest_wait(since, WINDOW, WAIT_MAX) {
        Some(took) => report.time(what, took),
        None => report
            .found
            .push(Finding::Odd(format!("{what}: over {WAIT_MAX:?}"))),
    }
}

fn die(server: &Namespace, client: &Phone, death: Death, link: usize) {
    let (name, ip) = (LINKS[link], SERVER[link]);
    match death {
        Death::Down => server.ip(&format!("link set {name} down")),
        Death::Unplugged => client.ip(&format!("link set phone-{name} down")),
        Death::Address => server.ip(&format!("addr del {ip}/24 dev {name}")),
        Death::BlackHole => server.ip(&format!("route add blackhole {}/32", CLIENT[link])),
        // What the socket says at its end gets nowhere.
        Death::Silent => client.ip(&format!("route add blackhole {ip}/32")),
    }
}

fn revive(server: &Namespace, client: &Phone, death: Death, link: usize) {
    let (name, ip) = (LINKS[link], SERVER[link]);
    match death {
        Death::Down => server.ip(&format!("link set {name} up")),
        Death::Unplugged => client.ip(&format!("link set phone-{name} up")),
        Death::Address => server.ip(&format!("addr add {ip}/24 dev {name}")),
        Death::BlackHole => server.ip(&format!("route del blackhole {}/32", CLIENT[link])),
        Death::Silent => client.ip(&format!("route del blackhole {ip}/32")),
    }
}

fn judge(report: &mut Report, sent: &Sent, stored: &Path, switches: usize) {
    report.acked_chunks = sent.chunks() as u64;
    report.acked_bytes = (sent.chunks() * CHUNK) as u64;
    for (answer, count) in sent.refusals() {
        *report.answers.entry(answer).or_default() += count;
    }
    let again = sent.again();
    report.note("KiB sent again", again >> 10);
    let mut odd = |text: String| report.found.push(Finding::Odd(text));
    if again > switches * CHUNK {
        odd(format!(
            "{again} bytes were sent again, for {switches} switches"
        ));
    }
    if let Err(why) = sent.is_stored(stored) {
        odd(why);
    }
    for what in [GOES_ON, UNSEEN, IS_BACK] {
        let late = report.took(what, 99);
        if late > GOES_ON_MAX {
            let text = format!("{what} {late:.1?}, 99 of 100 times");
            report.found.push(Finding::Odd(text));
        }
    }
}

/// Reads from the log how long uploads waited.
fn pauses(report: &mut Report, logs: &str) {
    let mut since = None;
    for line in logs.lines() {
        let Ok(line) = serde_json::from_str::<BTreeMap<String, serde_json::Value>>(line) else {
            continue;
        };
        let text = |name: &str| line.get(name).and_then(|value| value.as_str());
        let at = text("timestamp").and_then(|at| humantime::parse_rfc3339(at).ok());
        let (Some(at), Some(message)) = (at, text("message")) else {
            continue;
        };
        match message {
            "Pausing all active uploads due to network change" => since = Some(at),
            "Resuming all paused uploads" => report.pause(since.take(), at),
            _ => {}
        }
    }
    let longest = report.took(PAUSES, 100);
    if longest > PAUSE_MAX + SLACK || longest.is_zero() {
        let text = format!("the longest pause took {longest:.1?}");
        report.found.push(Finding::Odd(text));
    }
}

impl Report {
    fn pause(&mut self, since: Option<SystemTime>, at: SystemTime) {
        if let Some(took) = since.and_then(|since| at.duration_since(since).ok()) {
            self.time(PAUSES, took);
        }
    }
}
