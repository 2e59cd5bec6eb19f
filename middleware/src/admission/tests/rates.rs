use std::time::Duration;

use tokio::time::advance;

use crate::admission::{Origin, Rate, Rates, Who};
use crate::config::Limits;
use crate::upload::Owner;

const SECOND: Duration = Duration::from_secs(1);

fn rate(requests_per_second: usize, burst: usize) -> Option<Rate> {
    Rate::of(&Limits {
        requests_per_second,
        burst,
        bandwidth: 0,
    })
}

fn owner(number: usize) -> Who {
    Who::Owner(Owner(number.to_string()))
}

/// How many of `count` requests are let in.
fn let_in(rates: &Rates, who: &Who, count: usize) -> usize {
    (0..count).filter(|_| rates.check(who).is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_is_counted() {
    let rates = Rates::new(rate(0, 5));
    assert!(!rates.are_limited());
    assert_eq!(let_in(&rates, &owner(1), 1000), 1000);
    assert_eq!(rates.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_its_burst_and_then_its_rate() {
    // (rate, burst, at once, after a second)
    for (per_second, burst, at_once, later) in [
        (10, 0, 10, 10),
        (10, 1, 1, 1),
        (10, 25, 25, 10),
        (1, 1, 1, 1),
    ] {
        let rates = Rates::new(rate(per_second, burst));
        assert_eq!(
            let_in(&rates, &owner(1), 100),
            at_once,
            "{per_second} {burst}"
        );
        advance(SECOND).await;
        assert_eq!(
            let_in(&rates, &owner(1), 100),
            later,
            "{per_second} {burst}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_as_told_is_let_in_and_not_before() {
    let rates = Rates::new(rate(4, 2));
    assert_eq!(let_in(&rates, &owner(1), 2), 2);
    let wait = rates.check(&owner(1)).unwrap_err();
    assert_eq!(wait, Duration::from_millis(250));
    advance(wait - Duration::from_millis(1)).await;
    assert_eq!(rates.check(&owner(1)), Err(Duration::from_millis(1)));
    advance(Duration::from_millis(1)).await;
    // To be refused costs nothing.
    assert_eq!(let_in(&rates, &owner(1), 2), 1);
}

#[tokio::test(start_paused = true)]
async fn clients_do_not_know_each_other() {
    let rates = Rates::new(rate(3, 0));
    let unknown = Who::from(Origin::default());
    let address = Who::from(Origin::of("192.0.2.1".parse().unwrap()));
    for who in [owner(1), owner(2), address, unknown] {
        assert_eq!(let_in(&rates, &who, 5), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_rate_acts_at_once_and_the_same_changes_nothing() {
    let rates = Rates::new(rate(3, 0));
    assert_eq!(let_in(&rates, &owner(1), 5), 3);
    rates.limit(rate(3, 3));
    assert_eq!(let_in(&rates, &owner(1), 5), 0);
    rates.limit(rate(5, 0));
    assert_eq!(let_in(&rates, &owner(1), 9), 5);
    rates.limit(None);
    assert_eq!(let_in(&rates, &owner(1), 9), 9);
}

#[tokio::test(start_paused = true)]
async fn clients_that_have_rested_are_forgotten() {
    let rates = Rates::new(rate(1, 3));
    for number in 0..100 {
        rates.check(&owner(number)).unwrap();
    }
    assert_eq!(let_in(&rates, &owner(0), 2), 2);
    rates.forget_rested();
    assert_eq!(rates.clients(), 100);
    advance(2 * SECOND).await;
    rates.forget_rested();
    assert_eq!(rates.clients(), 1, "it had three at once");
    assert_eq!(let_in(&rates, &owner(0), 5), 2);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_newcomers_are_one_client_until_some_have_rested() {
    const MANY: usize = 100_000;
    let rates = Rates::new(rate(1, 2));
    for number in 0..MANY {
        rates.check(&owner(number)).unwrap();
    }
    assert_eq!(let_in(&rates, &owner(MANY), 5), 2);
    assert_eq!(let_in(&rates, &owner(MANY + 1), 5), 0);
    assert_eq!(let_in(&rates, &owner(5), 5), 1, "known as before");
    assert_eq!(rates.clients(), MANY + 1);
    advance(4 * SECOND).await;
    assert_eq!(let_in(&rates, &owner(MANY + 1), 5), 2);
    assert_eq!(rates.clients(), 1);
}
