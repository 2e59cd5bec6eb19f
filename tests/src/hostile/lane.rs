//! Servers that cases are played against, and who plays which.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::case::{Case, Transport};
use super::send::ANSWER_LIMIT;
use super::wire::{Tunnel, trusting};
use super::{Problems, check, refused};
use crate::certificates::Certificates;
use crate::config::Config;
use crate::http::Request;
use crate::prometheus;
use crate::server::{Server, free_address};
use crate::tree::{self, Entry};
use crate::upload::Client;

/// Servers of one file at once. Most cases wait for a time to pass, not for the processor.
const LANES: usize = 8;

/// Cases for which another server is worth its start.
const SHARE: usize = 4;

/// Lines of its log that are shown when a server has ended.
const LINES: usize = 5;

/// What the configuration of a case is laid over.
const BASE: &str = r#"
[uploads]
min_chunk_size = "1KB"
stall_timeout = "2s"

[timeouts]
header_timeout = "2s"
idletimeout = "5s"
"#;

/// What a server is given for cases over TLS: its certificates lie where it works.
const TLS: &str = r#"
[server]
tls_cert = "server.pem"
tls_key = "server.key"
"#;

/// Cases that share a configuration, or that are configurations.
struct Group<'a> {
    config: Option<Config>,
    cases: Mutex<VecDeque<&'a Case>>,
}

impl<'a> Group<'a> {
    fn next(&self) -> Option<&'a Case> {
        let mut cases = self.cases.lock().unwrap_or_else(PoisonError::into_inner);
        cases.pop_front()
    }
}

/// Plays cases, and reports on each.
pub(super) fn play(cases: &[Case], report: &(impl Fn(&Case, Problems) + Sync)) {
    let groups = groups(cases);
    let lanes = groups.iter().flat_map(|group| {
        let count = group
            .cases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        std::iter::repeat_n(group, count.div_ceil(SHARE).min(LANES))
    });
    let lanes = Mutex::new(lanes.collect::<VecDeque<_>>());
    let next = || {
        let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.pop_front()
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(group) = next() {
                    group.play(report);
                }
            });
        }
    });
}

fn groups(cases: &[Case]) -> Vec<Group<'_>> {
    let mut groups: Vec<(String, Group<'_>)> = Vec::new();
    for case in cases {
        let config = (!case.config_only).then(|| config_of(case));
        let text = config.as_ref().map(Config::text).unwrap_or_default();
        let at = groups.iter().position(|(known, _)| *known == text);
        let at = at.unwrap_or_else(|| {
            let cases = Mutex::default();
            groups.push((text, Group { config, cases }));
            groups.len() - 1
        });
        let cases = &mut groups[at].1.cases;
        let cases = cases.get_mut().unwrap_or_else(PoisonError::into_inner);
        cases.push_back(case);
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn config_of(case: &Case) -> Config {
    let tls = match case.transport {
        Transport::Tls => TLS,
        Transport::Plain | Transport::H2 => "",
    };
    Config::with(BASE).and(tls).and(&case.config)
}

impl Group<'_> {
    /// Plays cases until none is left, against a server of its own.
    fn play(&self, report: &impl Fn(&Case, Problems)) {
        let mut lane = None;
        while let Some(case) = self.next() {
            let Some(config) = &self.config else {
                report(case, refused::check(case));
                continue;
            };
            let tried = catch_unwind(AssertUnwindSafe(|| {
                let lane = lane.get_or_insert_with(|| Lane::start(config));
                check::play(lane, case)
            }));
            let problems = tried.unwrap_or_else(|_| panicked(lane.as_mut()));
            if !problems.case.is_empty() || !problems.harm.is_empty() {
                // What is wrong with this server must not be held against the next case.
                lane = None;
            }
            report(case, problems);
        }
    }
}

/// Why a case was not played to its end: its server is gone, or the runner has a fault.
fn panicked(lane: Option<&mut Lane>) -> Problems {
    let ended = lane.and_then(|lane| {
        let status = lane.ended()?;
        let logs = lane.server.logs();
        let lines: Vec<&str> = logs.lines().rev().take(LINES).collect();
        let last = lines
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n        ");
        Some(format!("the server has ended: {status}\n        {last}"))
    });
    let problem = ended.unwrap_or_else(|| "the runner panicked: see above".into());
    Problems {
        harm: vec![problem],
        ..Problems::default()
    }
}

/// A server that plays one case after the other.
pub(super) struct Lane {
    pub(super) server: Server,
    pub(super) client: Client,
    /// How its clients speak TLS, where it does.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) metrics: SocketAddr,
    /// What belongs into its root: see [`Lane::places`].
    pub(super) places: Vec<Entry>,
    /// The status of an ordinary upload's last answer.
    pub(super) good: u16,
    /// Calls of the handler, and files, that such an upload makes.
    pub(super) good_effect: Effect,
    /// Descriptors it holds at rest.
    pub(super) descriptors: usize,
    /// Bytes it holds at rest.
    pub(super) memory: u64,
    _tunnel: Option<Tunnel>,
}

/// What became of uploads so far, or of some.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Effect {
    /// Calls of the handler by the layer.
    pub(super) calls: u64,
    /// Files that the handler keeps.
    pub(super) stored: usize,
}

impl Lane {
    fn start(config: &Config) -> Self {
        let metrics = free_address();
        let config = config
            .clone()
            .set("metrics", "listen", &metrics.to_string());
        let is_secure = config.text_of("server", "tls_cert").is_some();
        let server = Server::prepared(&config, &[], |work| {
            if is_secure {
                let _ = Certificates::make(work);
            }
        });
        let tls = is_secure.then(|| trusting(&server.work().join("ca.pem")));
        let tunnel = tls.clone().map(|tls| Tunnel::to(server.addr(), tls));
        let addr = tunnel.as_ref().map_or(server.addr(), |tunnel| tunnel.addr);
        let client = match config
            .list_of("security", "schemes")
            .contains(&"path".to_owned())
        {
            true => Client::new(addr),
            false => Client::by_message(addr),
        };
        let (_, last) = client.upload("good.bin", b"0123456789");
        assert!(last.status < 500, "a good upload: {last:?}");
        let mut lane = Self {
            client,
            tls,
            metrics,
            places: Vec::new(),
            good: last.status,
            good_effect: Effect::default(),
            descriptors: 0,
            memory: server.memory("VmRSS"),
            server,
            _tunnel: tunnel,
        };
        lane.good_effect = lane.effect();
        crate::wait::until("its connections are closed", crate::wait::SOON, || {
            lane.server.connections() == 0
        });
        lane.descriptors = lane.descriptors();
        lane.places = lane.places();
        lane
    }

    /// How it ended, if it has or soon does: its connections break before it is gone.
    fn ended(&mut self) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < ANSWER_LIMIT {
            if let Some(status) = self.server.exited() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// What lies in its root, but for the files that uploads bring: those that the handler keeps,
    /// and those in the state directory that bear the key of an upload or note signatures of clocks
    /// that are ahead.
    pub(super) fn places(&self) -> Vec<Entry> {
        let root = self.server.root();
        let (state, uploads) = (self.server.state_dir(), self.server.uploads_dir());
        let ahead = state.join("ahead");
        let is_place = |entry: &Entry| {
            let path = root.join(&entry.path);
            let is_kept = path.parent() == Some(&uploads) && !entry.is_dir;
            let is_state = path.starts_with(&state) && (has_key(&path) || path == ahead);
            !is_kept && !is_state
        };
        tree::list(root).into_iter().filter(is_place).collect()
    }

    /// Descriptors it holds, without one for each file of its uploads: those stay open for a while
    /// after the last request.
    pub(super) fn descriptors(&self) -> usize {
        let state = self.server.state_dir();
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.server.pid()));
        let links = fds.into_iter().flatten().flatten();
        let mut files = HashSet::new();
        let mut is_more = |link: PathBuf| !link.starts_with(&state) || !files.insert(link);
        links
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .filter(|link| is_more(link.clone()))
            .count()
    }

    pub(super) fn effect(&self) -> Effect {
        Effect {
            calls: self.handoffs(),
            stored: self.stored(),
        }
    }

    /// Files that the handler keeps.
    pub(super) fn stored(&self) -> usize {
        let mut files = tree::list(&self.server.uploads_dir());
        // What is being received has a hidden name.
        files.retain(|entry| !entry.path.to_string_lossy().starts_with(".incoming-"));
        files.len()
    }

    /// Calls of the handler by the layer so far.
    pub(super) fn handoffs(&self) -> u64 {
        let request = Request::new("GET", "/metrics").header("Connection", "close");
        let page = request.send(self.metrics).status_is(200);
        let samples = prometheus::parse(&String::from_utf8_lossy(&page.body));
        let calls = samples
            .iter()
            .filter(|(name, _)| name.starts_with("steadfast_handoffs_total"));
        // Counts are whole and far below 2^53.
        calls.map(|(_, count)| *count as u64).sum()
    }
}

/// True for `<key>` and `<key>.<kind>`: 22 characters of base64url.
fn has_key(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().as_encoded_bytes();
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    stem.len() == 22 && stem.iter().all(is_safe)
}
