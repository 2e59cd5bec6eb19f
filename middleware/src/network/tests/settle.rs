use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use crate::network::settle::{Settle, Turn};

const QUIET: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Milliseconds as a time of a clock that a test turns.
struct Rig {
    begun: Instant,
    settle: Settle,
    /// When the gate was shut and opened, in turns.
    turns: Vec<(u64, Turn)>,
}

impl Rig {
    fn new() -> Self {
        let begun = Instant::now();
        Self {
            begun,
            settle: Settle::new(QUIET, PAUSE_MAX, begun),
            turns: Vec::new(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.begun + Duration::from_millis(ms)
    }

    /// Lets time pass until then, timer by timer.
    fn pass(&mut self, ms: u64) {
        while let Some(due) = self.settle.due().filter(|due| *due <= self.at(ms)) {
            let turn = self.settle.passed(due);
            let at = (due - self.begun).as_millis() as u64;
            self.turns.extend(turn.map(|turn| (at, turn)));
        }
    }

    fn change(&mut self, ms: u64) {
        self.pass(ms);
        let turn = self.settle.changed(self.at(ms));
        self.turns.extend(turn.map(|turn| (ms, turn)));
    }

    /// Every pause: from when to when.
    fn pauses(&self) -> Vec<(u64, u64)> {
        let pairs = self.turns.chunks(2);
        pairs.map(|pair| (pair[0].0, pair[1].0)).collect()
    }
}

#[test]
fn a_change_shuts_and_quiet_opens() {
    let mut rig = Rig::new();
    rig.pass(50_000);
    rig.change(50_000);
    assert_eq!(rig.settle.due(), Some(rig.at(52_000)));
    assert_eq!(rig.settle.passed(rig.at(51_999)), None, "too early");
    rig.pass(100_000);
    assert_eq!(rig.turns, [(50_000, Turn::Shuts), (52_000, Turn::Opens)]);
    assert_eq!(rig.settle.due(), None);
}

#[test]
fn every_change_is_waited_for() {
    let mut rig = Rig::new();
    for ms in [10_000, 11_500, 13_000, 14_999] {
        rig.change(ms);
    }
    rig.pass(60_000);
    assert_eq!(rig.turns, [(10_000, Turn::Shuts), (16_999, Turn::Opens)]);
}

#[test]
fn a_network_that_never_settles_gets_every_other_quarter_of_a_minute() {
    let mut rig = Rig::new();
    for ms in (0..75_000).step_by(500) {
        rig.change(ms);
    }
    let expected = [
        (0, Turn::Shuts),
        (15_000, Turn::OpensAnyhow),
        (30_000, Turn::Shuts),
        (45_000, Turn::OpensAnyhow),
        (60_000, Turn::Shuts),
    ];
    assert_eq!(rig.turns, expected);
}

/// Quiet for just long enough, again and again: each pause is short, and hardly anything is left
/// between them.
#[test]
fn many_short_pauses_are_no_way_round() {
    let mut rig = Rig::new();
    for ms in (0..120_000).step_by(2_100) {
        rig.change(ms);
    }
    rig.pass(200_000);
    let paused: u64 = rig.pauses().iter().map(|(from, to)| to - from).sum();
    assert!(paused <= 75_000, "{paused} ms of 120 s: {:?}", rig.turns);
    assert!(rig.turns.iter().any(|(_, turn)| *turn == Turn::OpensAnyhow));
}

proptest! {
    /// However changes come: no pause is too long, uploads get as much time as pauses take but for
    /// one pause, and when changes end, so does the pause.
    #[test]
    fn pauses_are_bounded(waits in prop::collection::vec(0..6_000_u64, 1..80)) {
        let mut rig = Rig::new();
        let mut now = 0;
        for wait in waits {
            now += wait;
            rig.change(now);
        }
        rig.pass(now + 60_000);
        prop_assert!(rig.turns.len().is_multiple_of(2), "it is open: {:?}", rig.turns);
        let pauses = rig.pauses();
        let pause_max = PAUSE_MAX.as_millis() as u64;
        for (first, (from, _)) in pauses.iter().enumerate() {
            let mut paused = 0;
            for (begin, end) in &pauses[first..] {
                paused += end - begin;
                let open = end - from - paused;
                prop_assert!(paused <= open + pause_max, "from {from} to {end}: {pauses:?}");
            }
        }
    }

    /// Nothing changes in a pause for `QUIET` before it ends, unless it is cut short.
    #[test]
    fn nothing_opens_before_it_is_quiet(waits in prop::collection::vec(0..6_000_u64, 1..40)) {
        let mut rig = Rig::new();
        let (mut now, mut changes) = (0, Vec::new());
        for wait in waits {
            now += wait;
            rig.change(now);
            changes.push(now);
        }
        rig.pass(now + 60_000);
        let opened = rig.turns.iter().filter(|(_, turn)| *turn == Turn::Opens);
        for (at, _) in opened {
            let quiet = QUIET.as_millis() as u64;
            let disturbs = |ms: &&u64| (*at - quiet + 1..*at).contains(*ms);
            prop_assert_eq!(changes.iter().find(disturbs), None, "before {}", at);
        }
    }
}
