//! A Redis that dies and comes back empty, stands still, has no memory left or is not there yet,
//! with the server or without it.
//!
//! 1. Redis is an index: whatever it loses, nothing that was acknowledged is missing, and some
//!    moments later it holds again all that was.
//! 2. While it cannot be used, our routes answer 503 `store_unavailable` and when to come back, at
//!    once; the app's other routes answer as ever.
//! 3. When it can be used again, uploads go on by themselves.
//! 4. No handler is called twice where the server lived on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::Mix;
use super::context::{Context, Profile};
use super::finding::Finding;
use super::index;
use super::lane::{Kind, Lane, Shape};
use super::lanes;
use super::load;
use super::plan::Plan;
use super::report::Report;
use super::rng::Rng;
use super::watch::{self, Seen, Verdict, Watch, What};
use super::wire::{self, Wire};
use crate::config::CHUNK;
use crate::redis::Redis;

const CLIENTS: usize = 3;

/// Faults between two settlings.
const SETTLE_EVERY: usize = 12;

/// Chunks of the upload that is watched: more than are sent in any cycle.
const CHUNKS: usize = 40;

/// How long Redis stands still.
const STOPPED: Duration = Duration::from_secs(5);

/// A beat every 500 ms, and 500 ms for its answer; then every server knows.
const NOTICED_MAX: Duration = Duration::from_millis(1_100);

/// A command may take 500 ms, and one request waits for one only.
const REFUSED_MAX: Duration = Duration::from_millis(750);

/// The app's other routes know nothing of all this.
const OTHER_MAX: Duration = Duration::from_secs(1);

/// 99 of 100 uploads go on within this time; none may take as long as the second one.
const GOES_ON_MAX: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Every upload is told of again within this time.
const TOLD_MAX: Duration = Duration::from_secs(10);

const GOES_ON: &str = "uploads go on after";
const REFUSED: &str = "meanwhile our routes refuse within";
const OTHERS: &str = "other routes answer within";
const TOLD: &str = "all is in Redis after";

/// What happens to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// It dies, and comes back empty.
    Death,
    /// It dies, and so does the server.
    Both,
    /// It stands still.
    Stop,
    /// It has no memory left.
    Memory,
    /// It is not there when the server starts.
    Absence,
}

/// What happens, what it is called, and how often in the quick and in the full profile.
const STRIKES: &[(Strike, &str, [usize; 2])] = &[
    (Strike::Death, "deaths of Redis", [9, 75]),
    (Strike::Both, "deaths of Redis and the server", [3, 25]),
    (Strike::Stop, "stops of Redis", [3, 20]),
    (Strike::Memory, "lacks of memory", [3, 20]),
    (Strike::Absence, "starts without Redis", [3, 10]),
];

/// Runs the tier.
#[must_use]
pub fn run(context: &Context) -> Report {
    if let Err(why) = Redis::usable() {
        return Report::skipped(why);
    }
    let shapes = [
        ("retry", Kind::Counted { hold: false }),
        ("hold", Kind::Counted { hold: true }),
        ("store", Kind::Store),
    ];
    let rng = context.rng("redis");
    let dealt = deal(context, shapes.len());
    let jobs = shapes
        .into_iter()
        .zip(dealt)
        .map(|((name, kind), strikes)| {
            let rng = rng.fork(name);
            move || life(context, rng, Shape::new(name, kind), &strikes)
        });
    let mut report = lanes::together(jobs.collect());
    let late = report.took(GOES_ON, 99);
    if late > GOES_ON_MAX {
        let text = format!("uploads go on after {late:.1?}, in 99 of 100 cases");
        report.found.push(Finding::Odd(text));
    }
    // Nobody is told that what is there is not.
    let never = ["404 ", "410 state_lost", "421 ", "500 "];
    let told = report.answers.keys();
    let told = told.filter(|told| never.iter().any(|never| told.starts_with(never)));
    let told: Vec<_> = told
        .map(|told| Finding::Odd(format!("a client was told {told}")))
        .collect();
    report.found.extend(told);
    report
}

/// What happens to each of `lanes`. Fewer cycles are less of all.
fn deal(context: &Context, lanes: usize) -> Vec<Vec<Strike>> {
    let mut all = Vec::new();
    for (kind, (strike, _, counts)) in STRIKES.iter().enumerate() {
        let count = match context.profile {
            Profile::Quick => counts[0],
            Profile::Full => counts[1],
        };
        let at = |nth: usize| (2 * nth + 1) * 1_000 / (2 * count);
        all.extend((0..count).map(|nth| (at(nth), kind + nth, *strike)));
    }
    all.sort_by_key(|(at, ..)| *at);
    all.truncate(context.cycles.unwrap_or(all.len()));
    let of_lane = |lane| {
        let mine = all.iter().filter(|(_, nth, _)| nth % lanes == lane);
        mine.map(|(.., strike)| *strike).collect()
    };
    (0..lanes).map(of_lane).collect()
}

/// A server and its Redis.
fn life(context: &Context, rng: Rng, shape: Shape, strikes: &[Strike]) -> Report {
    let mut redis = Redis::start(&[]);
    let mut lane = Lane::new(context, rng, shape, None);
    lane.mix = Mix {
        patience: Duration::from_millis(20),
        ..Mix::default()
    };
    let config = lane.setup.config.clone();
    lane.setup.config = config
        .set("sessions", "store", "redis")
        .set("sessions", "redis_url", &redis.url())
        .set("server", "name", &lane.shape.name);
    for (nth, strike) in strikes.iter().enumerate() {
        cycle(&mut lane, &mut redis, *strike);
        let is_time = (nth + 1) % SETTLE_EVERY == 0 || nth + 1 == strikes.len();
        if is_time && started(&mut lane) {
            lane.settle();
        }
    }
    lane.end()
}

fn started(lane: &mut Lane) -> bool {
    lane.instance.is_some() || lane.start()
}

/// One fault, and what comes of it.
fn cycle(lane: &mut Lane, redis: &mut Redis, strike: Strike) {
    lane.report.cycles += 1;
    let name = STRIKES.iter().find(|(known, ..)| *known == strike);
    lane.report.note(name.map_or("", |(_, name, _)| name), 1);
    let Some(number) = started(lane).then(|| begin(lane)).flatten() else {
        return;
    };
    let mut absent = false;
    match strike {
        Strike::Both => absent = die_together(lane, redis),
        Strike::Absence => {
            lane.leave();
            redis.kill9();
            absent = true;
        }
        Strike::Death | Strike::Stop | Strike::Memory => {}
    }
    if !started(lane) {
        return redis.restart();
    }
    let (book, addr) = (Arc::clone(&lane.book), lane.setup.addr);
    let (outage, seen) = lane.loaded(CLIENTS, |lane| {
        watch::during(addr, &book, number, |watch| {
            let outage = match absent {
                true => absence(lane, redis),
                false => outage(lane, redis, strike),
            };
            goes_on(lane, watch, outage.back);
            outage
        })
    });
    load::open(&lane.book).uploads[number].watched = false;
    let found = judge(&mut lane.report, outage, &seen);
    let text = |what: String| Finding::Odd(format!("{}: {strike:?}: {what}", lane.shape.name));
    lane.report.found.extend(found.into_iter().map(text));
    told(lane, redis, outage.back);
    lane.check();
}

/// Begins the upload that is watched.
fn begin(lane: &mut Lane) -> Option<usize> {
    let seed = lane.rng.draw();
    let mut book = load::open(&lane.book);
    let plan = Plan::plain(book.next_name(), CHUNKS * CHUNK, seed);
    let number = book.enter(plan);
    let request = wire::create(&book.uploads[number].plan);
    match Wire::new(lane.setup.addr).send(&request) {
        Ok(response) => book.created(number, &response),
        Err(error) => book.found.push(Finding::Odd(format!("no create: {error}"))),
    }
    let upload = &mut book.uploads[number];
    upload.watched = upload.id.is_some();
    upload.watched.then_some(number)
}

/// Both die under load, one after the other; whether Redis is still away.
fn die_together(lane: &mut Lane, redis: &mut Redis) -> bool {
    let (before, between) = (lane.rng.millis(20..=300), lane.rng.millis(0..=300));
    let (redis_first, redis_returns) = (lane.rng.chance(50), lane.rng.chance(50));
    lane.loaded(CLIENTS, |lane| {
        std::thread::sleep(before);
        if redis_first {
            redis.kill9();
            std::thread::sleep(between);
        }
        lane.kill();
    });
    redis.kill9();
    if redis_returns {
        redis.restart();
    }
    !redis_returns
}

/// From when on nothing is taken, if so, and when Redis can be used again.
#[derive(Debug, Clone, Copy)]
struct Outage {
    known: Option<Instant>,
    back: Instant,
}

/// Redis is not there, and comes.
fn absence(lane: &mut Lane, redis: &mut Redis) -> Outage {
    let known = Some(Instant::now());
    std::thread::sleep(lane.rng.millis(0..=2_000));
    redis.restart();
    Outage {
        known,
        back: Instant::now(),
    }
}

/// Strikes Redis in the middle of uploads, and lets it come back.
fn outage(lane: &mut Lane, redis: &mut Redis, strike: Strike) -> Outage {
    std::thread::sleep(lane.rng.millis(20..=300));
    let away = lane.rng.millis(0..=2_000);
    let known = Some(Instant::now() + NOTICED_MAX);
    let back = match strike {
        Strike::Death | Strike::Absence => {
            redis.kill9();
            std::thread::sleep(away);
            redis.restart();
            Instant::now()
        }
        Strike::Stop => {
            redis.stop();
            std::thread::sleep(STOPPED);
            let back = Instant::now();
            redis.cont();
            back
        }
        Strike::Memory => {
            redis.command(&["SET", "ballast", &"x".repeat(2 << 20)]);
            redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
            std::thread::sleep(away + NOTICED_MAX);
            let back = Instant::now();
            redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
            redis.command(&["DEL", "ballast"]);
            back
        }
        Strike::Both => {
            return Outage {
                known: None,
                back: Instant::now(),
            };
        }
    };
    Outage { known, back }
}

/// Waits until the upload that is watched goes on, and for some more of the load.
fn goes_on(lane: &mut Lane, watch: &Watch<'_>, back: Instant) {
    match watch.goes_on(back, WAIT_MAX) {
        Some(took) => lane.report.time(GOES_ON, took),
        None => {
            let text = format!("{}: no upload goes on", lane.shape.name);
            lane.report.found.push(Finding::Odd(text));
        }
    }
    std::thread::sleep(lane.rng.millis(0..=150));
}

/// What was wrong with the answers.
fn judge(report: &mut Report, outage: Outage, seen: &[Seen]) -> Vec<String> {
    let mut found = Vec::new();
    for seen in seen {
        let took = seen.took;
        let is_known = outage.known.is_some_and(|known| seen.begun >= known);
        let is_out = is_known && seen.ended() < outage.back;
        match (seen.what, &seen.verdict) {
            (what, Verdict::Wrong(said)) => found.push(format!("{what:?}: {said}")),
            (What::Other, _) => {
                report.time(OTHERS, took);
                if took > OTHER_MAX {
                    found.push(format!("another route answers after {took:.1?}"));
                }
            }
            (what, Verdict::Taken) if is_out => {
                found.push(format!("{what:?} is taken without Redis"));
            }
            (what, verdict) => {
                if *verdict == Verdict::Refused {
                    report.time(REFUSED, took);
                }
                if took > REFUSED_MAX && seen.ended() < outage.back {
                    found.push(format!("{what:?} is answered after {took:.1?}"));
                }
            }
        }
    }
    found
}

/// Waits until Redis holds what was acknowledged.
fn told(lane: &mut Lane, redis: &Redis, back: Instant) {
    let judged = || {
        let book = load::open(&lane.book);
        let mut connection = redis.connect()?;
        index::judge(&mut connection, &book.uploads)
    };
    let begun = Instant::now();
    loop {
        let found = judged();
        if matches!(&found, Ok(found) if found.is_empty()) {
            return lane.report.time(TOLD, back.elapsed());
        }
        if begun.elapsed() > TOLD_MAX {
            let odd = |error| vec![Finding::Odd(format!("Redis: {error}"))];
            return lane.report.found.extend(found.unwrap_or_else(odd));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
