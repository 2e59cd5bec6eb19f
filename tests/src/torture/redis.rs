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
use super::context::Context;
use super::finding::Finding;
use super::index;
use super::lane::{Kind, Lane, Shape};
use super::lanes;
use super::load;
use super::outage::{self, Outage, STRIKES, Strike};
use super::plan::Plan;
use super::report::Report;
use super::rng::Rng;
use super::watch::{self, Seen, Verdict, Watch, What};
use super::wire::{self, Wire};
use crate::config::CHUNK;
use crate::redis::Redis;

/// Clients of every lane.
pub const CLIENTS: usize = 3;

/// Faults between two settlings.
const SETTLE_EVERY: usize = 12;

/// Chunks of the upload that is watched: more than are sent in any cycle.
const CHUNKS: usize = 40;

/// A command may take 500 ms, and one request waits for one only.
const REFUSED_MAX: Duration = Duration::from_millis(750);

/// The app's other routes know nothing of all this.
const OTHER_MAX: Duration = Duration::from_secs(1);

/// 99 of 100 uploads go on within this time; none may take as long as the second one.
const GOES_ON_MAX: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Every upload is told of again within this time.
const TOLD_MAX: Duration = Duration::from_secs(5);

const GOES_ON: &str = "uploads go on after";
const REFUSED: &str = "meanwhile our routes refuse within";
const OTHERS: &str = "other routes answer within";
const TOLD: &str = "all is in Redis after";

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
    let dealt = outage::deal(context, shapes.len());
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
            left(&mut lane, &redis);
        }
    }
    lane.end()
}

/// Counts what nobody wants any more. A command that was given up may be done later by a Redis that
/// stood still, so that something may stay until its time has come.
fn left(lane: &mut Lane, redis: &Redis) {
    let keys = redis.command(&["KEYS", "steadfast:upload:*"]).texts();
    let uploads = keys.iter().filter(|key| key.ends_with('}'));
    lane.report.note("uploads left in Redis", uploads.count());
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
        Strike::Both => absent = outage::die_together(lane, redis),
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
                true => outage::absence(lane, redis),
                false => outage::strike(lane, redis, strike),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of one answer, the time of which is counted from when everybody knows that
    /// Redis is away; it comes back after ten seconds.
    fn said(what: What, begun: u64, took: u64, verdict: Verdict) -> Vec<String> {
        let known = Instant::now();
        let outage = Outage {
            known: Some(known + Duration::from_secs(1)),
            back: known + Duration::from_secs(11),
        };
        let seen = Seen {
            what,
            begun: known + Duration::from_millis(begun),
            took: Duration::from_millis(took),
            verdict,
        };
        judge(&mut Report::default(), outage, &[seen])
    }

    #[test]
    fn without_redis_our_routes_refuse_at_once() {
        let fine = [""; 0];
        for what in [What::Chunk, What::Status, What::Create] {
            assert_eq!(said(what, 1_000, 1, Verdict::Refused), fine);
            assert_eq!(said(what, 1_000, 800, Verdict::Refused).len(), 1);
            assert_eq!(said(what, 1_000, 1, Verdict::Taken).len(), 1);
            // Nobody has noticed yet, or it is back.
            assert_eq!(said(what, 999, 500, Verdict::Taken), fine);
            assert_eq!(said(what, 10_900, 100, Verdict::Taken), fine);
            assert_eq!(said(what, 0, 1, Verdict::Wrong("404".to_owned())).len(), 1);
        }
    }

    #[test]
    fn other_routes_know_nothing_of_it() {
        assert_eq!(said(What::Other, 1_000, 999, Verdict::Taken), [""; 0]);
        assert_eq!(said(What::Other, 1_000, 1_001, Verdict::Taken).len(), 1);
        let dead = Verdict::Wrong("refused".to_owned());
        assert_eq!(said(What::Other, 1_000, 1, dead).len(), 1);
    }
}
