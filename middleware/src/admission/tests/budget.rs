use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::admission::{Allowance, Budget, Full, Request};
use crate::upload::tests::sample::key;
use crate::upload::{Owner, SessionId, Timestamp, UploadKey};

const NOW: Timestamp = Timestamp(10_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

/// Room for anything.
const ANY: Allowance = Allowance {
    sessions: 0,
    sessions_per_owner: 0,
    reserved_per_owner: 0,
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
fn an_owner_has_a_bound_of_bytes_of_its_own() {
    let asking = Asking::with(Allowance {
        reserved_per_owner: 100,
        ..ANY
    });
    asking.reserve(1, "alice", 60, NOW).unwrap();
    assert_eq!(asking.reserve(2, "alice", 41, NOW), Err(Full::Owner));
    asking.reserve(2, "alice", 40, NOW).unwrap();
    asking.reserve(3, "bob", 100, NOW).unwrap();
    assert_eq!(asking.reserve(4, "bob", u64::MAX, NOW), Err(Full::Owner));
    asking.reserve(4, "bob", 0, NOW).unwrap();
    // What has arrived, what ended and what nobody sends make room.
    asking.budget.update(key(1), 20, NOW.after(HOUR / 2));
    asking.reserve(5, "alice", 40, NOW.after(HOUR / 2)).unwrap();
    asking.budget.release(key(5));
    asking.reserve(6, "alice", 80, NOW.after(HOUR)).unwrap();
    assert_eq!(asking.budget.sessions(), 5);
}

/// What expired and is created again does not stand in its own way.
#[test]
fn an_upload_that_is_counted_is_counted_anew() {
    let asking = Asking::with(Allowance {
        sessions: 1,
        sessions_per_owner: 1,
        reserved_per_owner: 50,
        free_space: Some(50),
        keep_free: 0,
    });
    asking.reserve(1, "alice", 50, NOW).unwrap();
    asking.reserve(1, "alice", 50, NOW).unwrap();
    asking.reserve(1, "bob", 40, NOW).unwrap();
    assert_eq!(asking.reserve(1, "bob", 51, NOW), Err(Full::Owner));
    let bob = Owner("bob".to_owned());
    assert_eq!(asking.budget.expected(Some(&bob), NOW), 40, "as before");
    assert_eq!(
        (asking.budget.sessions(), asking.budget.expected(None, NOW)),
        (1, 40)
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

/// What the budget is to do, in as few words as there are.
#[derive(Default)]
struct Naive(Vec<(UploadKey, String, u64, Timestamp)>);

impl Naive {
    fn expected(&self, owner: Option<&str>, now: Timestamp) -> u128 {
        let held = self.0.iter().filter(|(_, of, _, active)| {
            now.since(*active) < HOUR && owner.is_none_or(|owner| owner == of)
        });
        held.map(|(_, _, bytes, _)| u128::from(*bytes)).sum()
    }

    fn reserve(
        &mut self,
        (key, owner, bytes): (UploadKey, &str, u64),
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<(), Full> {
        let others = Self(self.0.iter().filter(|u| u.0 != key).cloned().collect());
        let of_owner = others.0.iter().filter(|(_, of, ..)| of == owner).count();
        let full = |limit: usize, count: usize| limit > 0 && count >= limit;
        let (limit, bytes_more) = (allowance.reserved_per_owner, u128::from(bytes));
        let free = allowance.free_space.unwrap_or(u64::MAX);
        let free = i128::from(free) - i128::from(allowance.keep_free);
        let expected = i128::try_from(others.expected(None, now)).unwrap();
        if full(allowance.sessions, others.0.len()) || full(allowance.sessions_per_owner, of_owner)
        {
            return Err(Full::Sessions);
        }
        if limit > 0 && others.expected(Some(owner), now) + bytes_more > u128::from(limit) {
            return Err(Full::Owner);
        }
        if allowance.free_space.is_some() && bytes > 0 && i128::from(bytes) > free.max(0) - expected
        {
            return Err(Full::Space);
        }
        self.0 = others.0;
        self.0.push((key, owner.to_owned(), bytes, now));
        Ok(())
    }

    fn update(&mut self, key: UploadKey, bytes: u64, now: Timestamp) {
        for upload in self.0.iter_mut().filter(|upload| upload.0 == key) {
            (upload.2, upload.3) = (bytes, now);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u8, usize, u64),
    Admit(u8),
    Describe(u8, usize, u64, u64),
    Update(u8, u64),
    Release(u8),
    Pass(u64),
}

const OWNERS: [&str; 3] = ["", "alice", "bob"];

fn any_step() -> impl Strategy<Value = Step> {
    let (key, owner) = (|| 0..12_u8, || 0..OWNERS.len());
    let bytes = || prop_oneof![0..40_u64, Just(u64::MAX)];
    let minutes = || 0..50_u64;
    prop_oneof![
        4 => (key(), owner(), bytes()).prop_map(|(k, o, b)| Step::Reserve(k, o, b)),
        1 => key().prop_map(Step::Admit),
        1 => (key(), owner(), bytes(), minutes())
            .prop_map(|(k, o, b, m)| Step::Describe(k, o, b, m)),
        3 => (key(), bytes()).prop_map(|(k, b)| Step::Update(k, b)),
        2 => key().prop_map(Step::Release),
        2 => minutes().prop_map(Step::Pass),
    ]
}

fn any_allowance() -> impl Strategy<Value = Allowance> {
    (0..8_usize, 0..4_usize, 0..90_u64, option::of(0..150_u64)).prop_map(
        |(sessions, sessions_per_owner, reserved_per_owner, free_space)| Allowance {
            sessions,
            sessions_per_owner,
            reserved_per_owner,
            free_space,
            keep_free: 20,
        },
    )
}

proptest! {
    #[test]
    fn sums_are_what_counting_everything_would_find(
        steps in vec(any_step(), 0..60),
        allowance in any_allowance(),
    ) {
        let (budget, mut naive, mut now) = (Budget::default(), Naive::default(), NOW);
        for step in steps {
            match step.clone() {
                Step::Reserve(number, owner, bytes) => {
                    let asking = (key(number), OWNERS[owner], bytes);
                    let owner = Owner(OWNERS[owner].to_owned());
                    let request = Request { key: key(number), owner: &owner, bytes, now };
                    let expected = naive.reserve(asking, &allowance, now);
                    prop_assert_eq!(budget.reserve(&request, &allowance), expected, "{:?}", &step);
                }
                Step::Admit(number) => {
                    budget.admit(key(number), now);
                    if naive.0.iter().all(|upload| upload.0 != key(number)) {
                        naive.0.push((key(number), String::new(), 0, now));
                    }
                }
                Step::Describe(number, owner, bytes, idle) => {
                    let now = now.before(Duration::from_secs(idle * 120));
                    let described = (key(number), OWNERS[owner].to_owned(), bytes, now);
                    let owner = Owner(OWNERS[owner].to_owned());
                    budget.describe(&Request { key: key(number), owner: &owner, bytes, now });
                    for upload in naive.0.iter_mut().filter(|upload| upload.0 == key(number)) {
                        *upload = described.clone();
                    }
                }
                Step::Update(number, bytes) => {
                    budget.update(key(number), bytes, now);
                    naive.update(key(number), bytes, now);
                }
                Step::Release(number) => {
                    budget.release(key(number));
                    naive.0.retain(|upload| upload.0 != key(number));
                }
                Step::Pass(minutes) => now = now.after(Duration::from_secs(minutes * 60)),
            }
            prop_assert_eq!(budget.sessions(), naive.0.len());
            prop_assert_eq!(budget.expected(None, now), naive.expected(None, now), "{:?}", &step);
            for owner in OWNERS {
                let of = Owner(owner.to_owned());
                let expected = naive.expected(Some(owner), now);
                prop_assert_eq!(budget.expected(Some(&of), now), expected, "{} {:?}", owner, &step);
            }
        }
    }
}

/// A create must not take longer the more uploads there are.
#[test]
fn a_hundred_thousand_uploads_make_no_difference() {
    let budget = Budget::default();
    let allowance = Allowance {
        sessions_per_owner: 1_000_000,
        reserved_per_owner: u64::MAX,
        free_space: Some(u64::MAX),
        ..ANY
    };
    let owner = Owner::default();
    let reserve = |number: u32, now: Timestamp| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_le_bytes());
        let key = SessionId::new(id, None).key();
        let request = Request {
            key,
            owner: &owner,
            bytes: 1 << 20,
            now,
        };
        budget.reserve(&request, &allowance).unwrap();
    };
    let begun = std::time::Instant::now();
    for number in 0..100_000 {
        reserve(number, NOW.after(Duration::from_millis(u64::from(number))));
    }
    // Counting all of them each time took minutes.
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(budget.sessions(), 100_000);
}
