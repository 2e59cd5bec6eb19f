use std::time::Duration;

use tokio::time::{advance, timeout};

use crate::event::{Event, Events};
use crate::network::{By, Gate};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn whoever_waits_goes_on_when_it_opens() {
    let gate = Gate::new(Events::default());
    gate.opened().await;
    gate.shut(By::Network);
    assert!(!gate.is_open());
    assert!(timeout(SECOND, gate.opened()).await.is_err());
    let waits = tokio::spawn(gate.opened());
    gate.open(By::Network);
    waits.await.unwrap();
    assert!(gate.is_open());
}

#[tokio::test(start_paused = true)]
async fn it_counts_how_long_it_was_shut() {
    let gate = Gate::new(Events::default());
    for (step, in_all) in [(1, 1), (2, 3)] {
        gate.shut(By::Network);
        advance(SECOND * step).await;
        gate.shut(By::Network);
        assert_eq!(gate.shut_for(), SECOND * in_all);
        gate.open(By::Network);
        gate.open(By::Network);
        advance(SECOND).await;
        assert_eq!(gate.shut_for(), SECOND * in_all);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_released_is_never_shut() {
    let gate = Gate::new(Events::default());
    gate.shut(By::Network);
    let waits = tokio::spawn(gate.opened());
    gate.release();
    waits.await.unwrap();
    gate.shut(By::Network);
    assert!(gate.is_open());
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_nobody_wants_it_shut() {
    for (first, second) in [(By::Network, By::Operator), (By::Operator, By::Network)] {
        let events = Events::default();
        let gate = Gate::new(events.clone());
        let mut told = events.subscribe();
        assert!(gate.shut(first));
        assert!(gate.shut(second));
        assert!(!gate.shut(second), "it is already");
        advance(SECOND).await;
        gate.open(first);
        assert!(!gate.is_open() && gate.is_shut_by(second) && !gate.is_shut_by(first));
        advance(SECOND).await;
        gate.open(second);
        assert!(gate.is_open());
        assert_eq!(gate.shut_for(), SECOND * 2, "counted once");
        assert_eq!(told.next().await, Some(Ok(Event::Paused)));
        assert_eq!(told.next().await, Some(Ok(Event::Resumed)));
        assert!(timeout(SECOND, told.next()).await.is_err(), "told once");
    }
}
