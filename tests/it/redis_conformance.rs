//! The checks of stores, on sessions in Redis: over logs in memory and on disk, and behind a network
//! that loses what Redis says, holds it back, or lets half of it through.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use steadfast::conformance::{self, Check, Memory, Opened, SharedCheck, Store};
use steadfast::upload::{
    Declaration, Durability, Entry, FileName, Header, Limits, Owner, SessionId, State, Timestamp,
};
use steadfast_tests::fault_proxy::{Behaviour, FaultProxy};
use steadfast_tests::redis::Redis;
use tempfile::TempDir;

use crate::{fleet, machine};

/// How long the network is well between two faults: longer than a server takes to come back.
const WELL_FOR: Duration = Duration::from_millis(1_000);

/// Where the logs are.
#[derive(Clone, Copy)]
enum Logs {
    Memory,
    Disk,
}

/// A store over a Redis, and the directory with its identity.
struct Subject {
    store: conformance::Redis,
    /// What is below it.
    logs: Arc<dyn Store>,
    _dir: TempDir,
}

impl Subject {
    async fn start(url: &str, prefix: &str, name: &str, logs: Logs) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let settings = conformance::Settings {
            url: url.to_owned(),
            prefix: prefix.to_owned(),
            name: Some(name.to_owned()),
            advertise: Some(format!("http://{name}.example")),
            began: SystemTime::now().into(),
            keep: Duration::from_secs(3_600),
            secret_print: "same".to_owned(),
        };
        let logs = local(dir.path(), logs);
        let store = conformance::Redis::open(&settings, dir.path(), Arc::clone(&logs)).await;
        Self {
            store: store.expect("Redis is fit"),
            logs,
            _dir: dir,
        }
    }
}

fn local(dir: &Path, logs: Logs) -> Arc<dyn Store> {
    let inline_max = 1;
    match logs {
        Logs::Memory => Arc::new(Memory::default()),
        Logs::Disk => Arc::new(conformance::disk(dir.to_owned(), inline_max).expect("a store")),
    }
}

async fn check(check: &Check, url: &str, logs: Logs) {
    let subject = Subject::start(url, check.name, "one", logs).await;
    check.run(&subject.store).await;
}

async fn check_shared(check: &SharedCheck, url: &str, logs: Logs) {
    let one = Subject::start(url, check.name, "one", logs).await;
    // The fence is a time in milliseconds.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let other = Subject::start(url, check.name, "two", logs).await;
    check.run(&one.store, &other.store).await;
}

/// Runs every check, each on names of its own.
fn run_all(url: &str, logs: Logs) {
    for one in conformance::ALL {
        machine::report(one.name);
        runtime().block_on(check(one, url, logs));
    }
    for one in conformance::SHARED {
        machine::report(one.name);
        runtime().block_on(check_shared(one, url, logs));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    runtime.expect("a runtime")
}

#[test]
fn redis_over_logs_in_memory() {
    if let Some(redis) = fleet::redis("redis_over_logs_in_memory", &[]) {
        run_all(&redis.url(), Logs::Memory);
    }
}

#[test]
fn redis_over_logs_on_disk() {
    if let Some(redis) = fleet::redis("redis_over_logs_on_disk", &[]) {
        run_all(&redis.url(), Logs::Disk);
    }
}

/// A check behind a network of its own, which fails again and again until the check is over.
fn behind_a_bad_network(redis: &Redis, seed: usize, check: impl FnOnce(&str)) -> u64 {
    let proxy = FaultProxy::before(redis.addr());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| worsen(&proxy, seed, &over));
        let addr: SocketAddr = proxy.addr();
        let ended = Ended(&over);
        check(&redis.url_through(addr));
        drop(ended);
    });
    proxy.cuts()
}

/// Ends the faults also where the check panics.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn worsen(proxy: &FaultProxy, seed: usize, over: &AtomicBool) {
    let lost = |script: &str| Behaviour::LoseReplyTo(script.as_bytes().to_vec());
    let losses = [
        Behaviour::Cut { after: 0 },
        lost("EVALSHA"),
        Behaviour::Cut { after: 3 },
        Behaviour::Cut { after: 11 },
    ];
    let first = losses[seed % losses.len()].clone();
    let delays = [30, 700].map(|ms| Behaviour::Delay(Duration::from_millis(ms)));
    let faults = losses.into_iter().chain(delays).cycle();
    for fault in std::iter::once(first).chain(faults) {
        if over.load(Ordering::Acquire) {
            return;
        }
        proxy.set(fault);
        thread::sleep(WELL_FOR / 8);
        proxy.set(Behaviour::Pass);
        thread::sleep(WELL_FOR);
    }
}

#[test]
fn redis_behind_a_network_that_loses_replies() {
    let test = "redis_behind_a_network_that_loses_replies";
    let Some(redis) = fleet::redis(test, &[]) else {
        return;
    };
    let redis = &redis;
    let cuts: Vec<u64> = thread::scope(|scope| {
        let alone = conformance::ALL.iter().enumerate().map(|(seed, one)| {
            let run = |url: &str| runtime().block_on(check(one, url, Logs::Memory));
            scope.spawn(move || behind_a_bad_network(redis, seed, run))
        });
        let alone: Vec<_> = alone.collect();
        let shared = conformance::SHARED.iter().enumerate().map(|(seed, one)| {
            let run = |url: &str| runtime().block_on(check_shared(one, url, Logs::Memory));
            scope.spawn(move || behind_a_bad_network(redis, seed, run))
        });
        let all: Vec<_> = shared.chain(alone).collect();
        all.into_iter()
            .map(|check| check.join().expect("the check holds"))
            .collect()
    });
    let struck = cuts.iter().filter(|cuts| **cuts > 0).count();
    let (lost, all) = (cuts.iter().sum::<u64>(), cuts.len());
    machine::report(&format!(
        "{test}: {lost} replies lost in {struck} of {all} checks"
    ));
    assert!(
        struck > all / 2,
        "only {struck} of {all} checks lost a reply"
    );
}

/// The removal of an upload got lost, and there is another one with its key.
#[test]
fn what_was_made_anew_is_told_anew() {
    let Some(redis) = fleet::redis("what_was_made_anew_is_told_anew", &[]) else {
        return;
    };
    runtime().block_on(async {
        let one = Subject::start(&redis.url(), "anew", "one", Logs::Memory).await;
        let other = Subject::start(&redis.url(), "anew", "two", Logs::Memory).await;
        let id = SessionId::new([1; 32], Some("one"));
        let found = async || {
            let found = other
                .store
                .peers()
                .expect("it shares")
                .find(id.key(), Some("one"));
            found
                .await
                .expect("Redis answers")
                .expect("it is told")
                .record
        };
        let make = async |name: &str| {
            let header = Arc::new(header(name));
            one.store
                .create(id.key(), header)
                .await
                .expect("it is made");
            one.store
                .open(id.key())
                .await
                .expect("it opens")
                .expect("it is there")
        };
        let Opened { mut record, log } = make("first.bin").await;
        let entry = Entry::Cancelled {
            at: Timestamp(2_000),
        };
        record.apply(&entry).expect("it can be cancelled");
        log.append(1, vec![entry.clone()])
            .await
            .expect("it is added");
        log.publish(&record, &[entry]).await.expect("it is told");
        assert_eq!(found().await.state, State::Cancelled);
        one.logs.remove(id.key()).await.expect("it is removed");
        let _ = make("second.bin").await;
        let found = found().await;
        assert_eq!(found.state, State::Receiving);
        assert_eq!(found.header.declaration.name.as_str(), "second.bin");
    });
}

fn header(name: &str) -> Header {
    Header {
        created: Timestamp(1_000),
        owner: Owner("ann".to_owned()),
        signer: None,
        declaration: Declaration {
            name: FileName::parse(name).expect("a name"),
            total: 20,
            chunk_size: None,
            content_type: None,
            digests: Vec::new(),
            host: None,
            headers: Vec::new(),
        },
        durability: Durability::Process,
        limits: Limits {
            chunk_size: 10,
            chunk_size_min: 5,
            chunk_size_max: 20,
        },
    }
}
