//! Events reach who listens, in order, and nobody waits for who does not.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::counts::Histogram;
use super::*;
use crate::upload::tests::sample;
use crate::upload::{State, UploadKey};

fn key(nth: u8) -> UploadKey {
    sample::id(nth).key()
}

fn change(nth: u8, what: What, revision: u64) -> Event {
    Event::Upload(Change::new(
        key(nth),
        what,
        (State::Receiving, revision),
        (10, 20),
    ))
}

#[tokio::test]
async fn subscribers_hear_all_and_watchers_of_their_upload() {
    let events = Events::default();
    events.tell(change(1, What::Created, 1));
    let mut all = events.subscribe();
    let mut one = events.watch(key(1)).unwrap();
    let told = [
        change(1, What::Progress, 2),
        change(2, What::Progress, 2),
        Event::Paused,
        change(1, What::Cancelled, 3),
    ];
    for event in told {
        events.tell(event);
    }
    for event in told {
        assert_eq!(all.next().await, Some(Ok(event)), "from then on, in order");
    }
    for event in [told[0], told[2], told[3]] {
        assert_eq!(one.next().await, Some(Ok(event)));
    }
    events.tell(told[0]);
    events.end(key(1));
    events.tell(told[1]);
    assert_eq!(one.next().await, Some(Ok(told[0])));
    assert_eq!(one.next().await, None, "its upload is gone");
    for event in &told[..2] {
        assert_eq!(all.next().await, Some(Ok(*event)));
    }
    drop(one);
    drop(events);
    assert_eq!(all.next().await, None, "the layer is gone");
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_many_it_missed() {
    let events = Events::default();
    let mut slow = events.subscribe();
    for revision in 0..1_030 {
        events.tell(change(1, What::Progress, revision));
    }
    assert_eq!(slow.next().await, Some(Err(Missed(6))));
    assert_eq!(slow.next().await, Some(Ok(change(1, What::Progress, 6))));
}

#[tokio::test]
async fn a_slow_watcher_is_told_that_it_missed_some() {
    let events = Events::default();
    let mut slow = events.watch(key(1)).unwrap();
    for revision in 0..100 {
        events.tell(change(1, What::Progress, revision));
    }
    assert_eq!(slow.next().await, Some(Err(Missed(36))));
    assert_eq!(slow.next().await, Some(Ok(change(1, What::Progress, 36))));
}

#[test]
fn places_are_bounded_and_free_at_once() {
    let events = Events::default();
    let mut of_one: Vec<_> = (0..4).map(|_| events.watch(key(1)).unwrap()).collect();
    assert_eq!(events.watch(key(1)).unwrap_err(), Full::Upload);
    of_one.pop();
    of_one.push(events.watch(key(1)).unwrap());
    let others: Vec<_> = (0..249_u8)
        .flat_map(|nth| (0..4).map(move |_| nth))
        .map(|nth| events.watch(key(nth + 2)).unwrap())
        .collect();
    assert_eq!(events.watchers(), 1_000);
    assert_eq!(events.watch(key(0)).unwrap_err(), Full::All);
    drop(of_one);
    assert_eq!(events.watchers(), 996);
    drop(events.watch(key(0)).unwrap());
    drop(others);
    assert_eq!(events.watchers(), 0);
}

#[test]
fn what_happens_is_counted_where_it_happens() {
    let (events, others) = (Events::default(), Events::default());
    for _ in 0..3 {
        events.tell(change(1, What::Completed, 1));
    }
    events.counts().refused("busy");
    assert_eq!(events.counts().happened(What::Completed), 3);
    assert_eq!(events.counts().happened(What::Rejected), 0);
    assert_eq!(others.counts().happened(What::Completed), 0);
    assert!(others.counts().refusals().is_empty());
}

#[test]
fn a_histogram_counts_up_to_and_with_its_bounds() {
    let histogram = Histogram::new(&[0.5, 1.0]);
    for millis in [100, 500, 501, 1_000, 7_000] {
        histogram.observe(Duration::from_millis(millis));
    }
    let found: Vec<_> = histogram.cumulative().collect();
    assert_eq!(found, [(0.5, 2), (1.0, 4), (f64::INFINITY, 5)]);
    let mut text = Text::default();
    text.histogram("a_seconds", "Some.", &histogram);
    let expected = "# HELP a_seconds Some.\n# TYPE a_seconds histogram\n\
                    a_seconds_bucket{le=\"0.5\"} 2\na_seconds_bucket{le=\"1\"} 4\n\
                    a_seconds_bucket{le=\"+Inf\"} 5\na_seconds_sum 9.101\na_seconds_count 5\n";
    assert_eq!(text.finish(), expected);
}
