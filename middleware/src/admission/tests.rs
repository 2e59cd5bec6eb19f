#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::{Allowance, Budget, Full, Request};
use crate::upload::tests::sample::key;
use crate::upload::{Owner, Timestamp};

const NOW: Timestamp = Timestamp(10_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

/// Room for anything.
const ANY: Allowance = Allowance {
    sessions: 0,
    sessions_per_owner: 0,
    free_space: None,
    keep_free: 0,
};

struct Asking {
    budget: Budget,
    allowance: Allowance,
}

impl Asking {
    fn with(allowance: Allowance) -> Self {
        Self {
            budget: Budget::default(),
            allowance,
        }
    }

    fn reserve(&self, number: u8, owner: &str, bytes: u64, now: Timestamp) -> Result<(), Full> {
        let owner = Owner(owner.to_owned());
        let request = Request {
            key: key(number),
            owner: &owner,
            bytes,
            now,
        };
        self.budget.reserve(&request, &self.allowance)
    }
}

#[test]
fn nothing_is_counted_against_no_limit() {
    let asking = Asking::with(ANY);
    for number in 0..200 {
        asking.reserve(number, "alice", u64::MAX, NOW).unwrap();
    }
    assert_eq!(asking.budget.sessions(), 200);
}

#[test]
fn sessions_have_a_bound_and_a_refused_one_is_not_counted() {
    let asking = Asking::with(Allowance { sessions: 2, ..ANY });
    asking.reserve(1, "", 1, NOW).unwrap();
    asking.reserve(2, "", 1, NOW).unwrap();
    for _ in 0..3 {
        assert_eq!(asking.reserve(3, "", 1, NOW), Err(Full::Sessions));
    }
    assert_eq!(asking.budget.sessions(), 2);
    asking.budget.release(key(9));
    assert_eq!(asking.reserve(3, "", 1, NOW), Err(Full::Sessions));
    asking.budget.release(key(1));
    asking.budget.release(key(1));
    asking.reserve(3, "", 1, NOW).unwrap();
}

#[test]
fn an_owner_has_a_bound_of_its_own() {
    let asking = Asking::with(Allowance {
        sessions: 4,
        sessions_per_owner: 2,
        ..ANY
    });
    for (number, owner) in [(1, "alice"), (2, "alice"), (3, "bob")] {
        asking.reserve(number, owner, 1, NOW).unwrap();
    }
    assert_eq!(asking.reserve(4, "alice", 1, NOW), Err(Full::Sessions));
    asking.reserve(4, "bob", 1, NOW).unwrap();
    assert_eq!(
        asking.reserve(5, "carol", 1, NOW),
        Err(Full::Sessions),
        "the bound of all"
    );
}

#[test]
fn space_is_promised_once() {
    let allowance = Allowance {
        free_space: Some(100),
        keep_free: 10,
        ..ANY
    };
    let asking = Asking::with(allowance);
    assert_eq!(asking.reserve(1, "", 91, NOW), Err(Full::Space));
    asking.reserve(1, "", 50, NOW).unwrap();
    assert_eq!(asking.reserve(2, "", 41, NOW), Err(Full::Space));
    asking.reserve(2, "", 40, NOW).unwrap();
    assert_eq!(asking.reserve(3, "", 1, NOW), Err(Full::Space));
    asking.reserve(3, "", 0, NOW).unwrap();
    // What has arrived is not expected any more; the free space says so itself.
    asking.budget.update(key(1), 20, NOW);
    asking.reserve(4, "", 30, NOW).unwrap();
    asking.budget.release(key(2));
    asking.reserve(5, "", 40, NOW).unwrap();
}

#[test]
fn a_promise_nobody_uses_ends_after_an_hour() {
    let asking = Asking::with(Allowance {
        free_space: Some(100),
        ..ANY
    });
    asking.reserve(1, "", 100, NOW).unwrap();
    let nearly = NOW.after(HOUR - Duration::from_millis(1));
    assert_eq!(asking.reserve(2, "", 1, nearly), Err(Full::Space));
    asking.reserve(2, "", 100, NOW.after(HOUR)).unwrap();
    // Bytes that arrive renew it.
    asking.budget.release(key(2));
    asking.budget.update(key(1), 99, NOW.after(HOUR));
    assert_eq!(asking.reserve(2, "", 2, NOW.after(HOUR)), Err(Full::Space));
}

#[test]
fn what_exists_is_counted_whatever_room_there_is() {
    let asking = Asking::with(Allowance {
        sessions: 1,
        free_space: Some(100),
        ..ANY
    });
    let owner = Owner::default();
    for number in 1..=3 {
        let request = Request {
            key: key(number),
            owner: &owner,
            bytes: 60,
            now: NOW,
        };
        asking.budget.admit(key(number), NOW);
        asking.budget.admit(key(number), NOW);
        asking.budget.describe(&request);
    }
    assert_eq!(asking.budget.sessions(), 3);
    assert_eq!(asking.reserve(4, "", 0, NOW), Err(Full::Sessions));
}

#[test]
fn news_of_an_upload_that_has_ended_does_not_count_it_in() {
    let asking = Asking::with(ANY);
    asking.reserve(1, "", 1, NOW).unwrap();
    asking.budget.release(key(1));
    asking.budget.update(key(1), 1, NOW);
    assert_eq!(asking.budget.sessions(), 0);
}

#[test]
fn sums_and_differences_stop_at_their_ends() {
    let asking = Asking::with(Allowance {
        free_space: Some(5),
        keep_free: 10,
        ..ANY
    });
    assert_eq!(asking.reserve(1, "", 1, NOW), Err(Full::Space));
    let owner = Owner::default();
    for number in 1..=2 {
        let request = Request {
            key: key(number),
            owner: &owner,
            bytes: u64::MAX,
            now: NOW,
        };
        asking.budget.admit(key(number), NOW);
        asking.budget.describe(&request);
    }
    assert_eq!(asking.reserve(3, "", 1, NOW), Err(Full::Space));
    // The clock went backwards: what was active is active.
    assert_eq!(asking.reserve(3, "", 1, Timestamp(0)), Err(Full::Space));
}
