use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::admission::{Bandwidth, Lane, Who};
use crate::upload::Owner;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn owner(name: &str) -> Who {
    Who::Owner(Owner(name.to_owned()))
}

fn lane(bandwidth: &Bandwidth, name: &str) -> Lane {
    bandwidth.lane(|| owner(name)).unwrap()
}

/// Reads so much in pieces of 64 KiB; answers how long that took.
async fn read(mut lane: Lane, bytes: u64) -> Duration {
    let begun = Instant::now();
    for _ in 0..bytes / (64 * KIB) {
        poll_fn(|cx| lane.poll_open(cx)).await;
        lane.take(64 * KIB);
    }
    begun.elapsed()
}

#[track_caller]
fn assert_took(took: Duration, seconds: f64) {
    let over = took.as_secs_f64() - seconds;
    // The last pieces need not be paid for, and timers have a grain.
    assert!((-0.2..0.2).contains(&over), "{took:?}, not {seconds}");
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_there_is_no_lane() {
    let bandwidth = Bandwidth::new(0);
    assert!(bandwidth.lane(|| panic!("nobody asks whose")).is_none());
}

#[tokio::test(start_paused = true)]
async fn one_request_is_paced() {
    let bandwidth = Bandwidth::new(MIB);
    assert_took(read(lane(&bandwidth, "a"), 5 * MIB).await, 4.0);
    // What may come at once was used up.
    assert_took(read(lane(&bandwidth, "a"), MIB).await, 1.0);
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_client_share_and_each_gets_as_much() {
    let bandwidth = Bandwidth::new(MIB);
    // What may come at once goes to whoever is first.
    assert_took(read(lane(&bandwidth, "a"), MIB).await, 0.0);
    let both = tokio::join!(
        read(lane(&bandwidth, "a"), 3 * MIB),
        read(lane(&bandwidth, "a"), 3 * MIB),
        read(lane(&bandwidth, "b"), 3 * MIB),
    );
    assert_took(both.0, 6.0);
    assert_took(both.1, 6.0);
    assert_took(both.2, 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_reaches_those_who_wait_within_a_second() {
    let bandwidth = Bandwidth::new(KIB);
    let reading = tokio::spawn(read(lane(&bandwidth, "a"), 3 * MIB));
    advance(Duration::from_secs(10)).await;
    bandwidth.limit(MIB);
    let took = reading.await.unwrap();
    assert!(took < Duration::from_secs(14), "{took:?}");
    let reading = tokio::spawn(read(lane(&bandwidth, "a"), 100 * MIB));
    advance(Duration::from_secs(3)).await;
    bandwidth.limit(0);
    let took = reading.await.unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_that_owe_nothing_are_forgotten() {
    let bandwidth = Bandwidth::new(MIB);
    let held = lane(&bandwidth, "held");
    for number in 0..1_000 {
        let mut lane = lane(&bandwidth, &number.to_string());
        lane.take(2 * MIB);
        advance(Duration::from_millis(100)).await;
    }
    assert!(bandwidth.clients() <= 64, "{}", bandwidth.clients());
    advance(Duration::from_secs(10)).await;
    for number in 0..64 {
        drop(lane(&bandwidth, &number.to_string()));
    }
    drop(held);
    // Whoever owes something is not.
    let mut last = lane(&bandwidth, "last");
    last.take(MIB * MIB);
    drop(last);
    for number in 0..1_000 {
        drop(lane(&bandwidth, &format!("again {number}")));
    }
    let mut last = lane(&bandwidth, "last");
    let open = tokio::time::timeout(Duration::from_secs(99), poll_fn(|cx| last.poll_open(cx)));
    assert!(open.await.is_err());
}
