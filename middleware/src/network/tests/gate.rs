use std::time::Duration;

use tokio::time::{advance, timeout};

use crate::network::Gate;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn whoever_waits_goes_on_when_it_opens() {
    let gate = Gate::default();
    gate.opened().await;
    gate.shut();
    assert!(!gate.is_open());
    assert!(timeout(SECOND, gate.opened()).await.is_err());
    let waits = tokio::spawn(gate.opened());
    gate.open();
    waits.await.unwrap();
    assert!(gate.is_open());
}

#[tokio::test(start_paused = true)]
async fn it_counts_how_long_it_was_shut() {
    let gate = Gate::default();
    for (step, in_all) in [(1, 1), (2, 3)] {
        gate.shut();
        advance(SECOND * step).await;
        gate.shut();
        assert_eq!(gate.shut_for(), SECOND * in_all);
        gate.open();
        gate.open();
        advance(SECOND).await;
        assert_eq!(gate.shut_for(), SECOND * in_all);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_released_is_never_shut() {
    let gate = Gate::default();
    gate.shut();
    let waits = tokio::spawn(gate.opened());
    gate.release();
    waits.await.unwrap();
    gate.shut();
    assert!(gate.is_open());
}
