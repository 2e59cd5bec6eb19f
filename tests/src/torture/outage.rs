//! The ways in which a Redis fails a server, and for how long.

use std::time::{Duration, Instant};

use super::context::{Context, Profile};
use super::lane::Lane;
use super::redis::CLIENTS;
use crate::redis::Redis;

/// How long Redis stands still.
const STOPPED: Duration = Duration::from_secs(5);

/// A beat every 500 ms, and 500 ms for its answer; then every server knows.
const NOTICED_MAX: Duration = Duration::from_millis(1_100);

/// What happens to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
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
pub const STRIKES: &[(Strike, &str, [usize; 2])] = &[
    (Strike::Death, "deaths of Redis", [9, 75]),
    (Strike::Both, "deaths of Redis and the server", [3, 25]),
    (Strike::Stop, "stops of Redis", [3, 20]),
    (Strike::Memory, "lacks of memory", [3, 20]),
    (Strike::Absence, "starts without Redis", [3, 10]),
];

/// What happens to each of `lanes`, in turn. Fewer cycles are less of all.
pub fn deal(context: &Context, lanes: usize) -> Vec<Vec<Strike>> {
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

/// Both die under load, one after the other; whether Redis is still away.
pub fn die_together(lane: &mut Lane, redis: &mut Redis) -> bool {
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

/// From when to when Redis could not be used.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// When every server knows that it is away, if it is.
    pub known: Option<Instant>,
    /// When it could be used again.
    pub back: Instant,
}

/// Redis is not there, and comes.
pub fn absence(lane: &mut Lane, redis: &mut Redis) -> Outage {
    let known = Some(Instant::now());
    std::thread::sleep(lane.rng.millis(0..=2_000));
    redis.restart();
    Outage {
        known,
        back: Instant::now(),
    }
}

/// Strikes Redis in the middle of uploads, and lets it come back.
pub fn strike(lane: &mut Lane, redis: &mut Redis, strike: Strike) -> Outage {
    std::thread::sleep(lane.rng.millis(20..=300));
    let away = lane.rng.millis(0..=2_000);
    let known = Some(Instant::now() + NOTICED_MAX);
    let back = match strike {
        Strike::Death => {
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
        // That is over already.
        Strike::Both | Strike::Absence => {
            return Outage {
                known: None,
                back: Instant::now(),
            };
        }
    };
    Outage { known, back }
}

#[cfg(test)]
mod tests {
    use super::super::context::Programs;
    use super::*;

    fn context(cycles: Option<usize>) -> Context {
        Context {
            profile: Profile::Full,
            seed: 1,
            cycles,
            programs: Programs {
                server: "server".into(),
                app: "app".into(),
            },
            env: Vec::new(),
            keep: false,
        }
    }

    #[test]
    fn every_lane_gets_its_part_of_everything() {
        let dealt = deal(&context(None), 3);
        for (strike, _, [_, count]) in STRIKES {
            let of = |lane: &Vec<Strike>| lane.iter().filter(|dealt| *dealt == strike).count();
            assert_eq!(dealt.iter().map(of).sum::<usize>(), *count);
            let fewest = dealt.iter().map(of).min().unwrap_or_default();
            assert!(fewest >= count / 3, "{strike:?}");
        }
        let some: Vec<Strike> = deal(&context(Some(30)), 3).concat();
        assert_eq!(some.len(), 30);
        assert!(STRIKES.iter().all(|(strike, ..)| some.contains(strike)));
    }
}
