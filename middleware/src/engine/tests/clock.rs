//! What a clock that is set does to what is kept: nothing goes for it.

use std::time::Duration;

use super::rig::{CHUNK, KINDS, Kind, Rig, chunk};
use crate::engine::Refusal;
use crate::upload::tests::sample;
use crate::upload::{SessionId, State, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const YEARS: Duration = Duration::from_secs(56 * 365 * 24 * 3_600);

async fn is_stored(rig: &Rig, id: &SessionId) -> bool {
    rig.store().read(id.key()).await.unwrap().is_some()
}

/// Everybody agrees that the upload is there, and the sweep leaves it.
async fn assert_kept(rig: &Rig, id: &SessionId) {
    rig.engine.sweep().await;
    assert!(is_stored(rig, id).await, "{:?}", rig.kind);
    assert_eq!(rig.state(id).await, State::Receiving);
    let repeated = || rig.create_as(id.clone(), true, sample::declaration(3 * CHUNK), "");
    let view = repeated().await.unwrap().view;
    assert_eq!(view.uploaded, 2 * CHUNK, "it is the same upload");
    assert!(
        rig.send(id, 0, &chunk(3 * CHUNK, 0))
            .await
            .unwrap()
            .duplicate
    );
}

async fn assert_gone(rig: &Rig, id: &SessionId) {
    assert_eq!(rig.view(id).await.unwrap_err(), Refusal::NoSession);
    rig.engine.sweep().await;
    assert!(!is_stored(rig, id).await, "{:?}", rig.kind);
}

async fn begun(kind: Kind) -> (Rig, SessionId) {
    let rig = Rig::new(kind);
    let id = rig.nearly(3 * CHUNK).await;
    rig.engine.sweep().await;
    (rig, id)
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_by_years_ends_nothing_for_an_hour() {
    for kind in KINDS {
        let (rig, id) = begun(kind).await;
        let set_to = rig.wall().after(YEARS);
        rig.set_clock(set_to);
        assert_kept(&rig, &id).await;
        let expires = rig.view(&id).await.unwrap().expires;
        assert_eq!(
            expires,
            set_to.after(HOUR),
            "{kind:?}: what the client is told"
        );
        rig.pass(HOUR - MINUTE);
        assert_kept(&rig, &id).await;
        rig.pass(MINUTE);
        assert_gone(&rig, &id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_first_byte_has_that_time_again() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.set_clock(rig.wall().after(YEARS));
        // Whoever asks for the time next finds out.
        rig.engine.sweep().await;
        rig.pass(9 * MINUTE);
        rig.engine.sweep().await;
        assert_eq!(rig.state(&id).await, State::Receiving, "{kind:?}");
        rig.pass(MINUTE);
        assert_gone(&rig, &id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_come_after_the_clock_was_set_count_in_full() {
    for kind in KINDS {
        let (rig, id) = begun(kind).await;
        rig.set_clock(rig.wall().after(YEARS));
        let last = chunk(3 * CHUNK, 2);
        rig.send(&id, 2, &last).await.unwrap();
        rig.pass(DAY - MINUTE);
        rig.engine.sweep().await;
        assert_eq!(rig.state(&id).await, State::Completed, "{kind:?}");
        rig.pass(MINUTE);
        assert_gone(&rig, &id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_loses_nothing_and_keeps_nothing_for_years() {
    for kind in KINDS {
        for back in [2 * HOUR, 30 * DAY, YEARS, Duration::MAX] {
            let (rig, id) = begun(kind).await;
            rig.set_clock(rig.wall().before(back));
            assert_kept(&rig, &id).await;
            rig.pass(DAY - MINUTE);
            assert_kept(&rig, &id).await;
            // The time that it was set back by may come on top.
            rig.pass(MINUTE + back.min(DAY));
            assert_gone(&rig, &id).await;
        }
    }
}

/// A machine that was off for a month, or that starts with a wrong clock.
#[tokio::test(start_paused = true)]
async fn a_restart_ends_nothing_for_an_hour() {
    for kind in KINDS {
        for wrong in [
            |now: Timestamp| now.after(30 * DAY),
            |now: Timestamp| now.after(YEARS),
        ] {
            let (dead, id) = begun(kind).await;
            dead.set_clock(wrong(dead.wall()));
            let rig = dead.again(|_| {});
            rig.engine.recover(None).await;
            assert_kept(&rig, &id).await;
            rig.pass(HOUR - MINUTE);
            assert_kept(&rig, &id).await;
            rig.pass(MINUTE);
            assert_gone(&rig, &id).await;
        }
    }
}

/// Robots: the machine starts in 1970, and learns the time a minute later.
#[tokio::test(start_paused = true)]
async fn a_machine_that_learns_the_time_after_its_start_ends_nothing() {
    for kind in KINDS {
        let (dead, id) = begun(kind).await;
        let real = dead.wall().after(HOUR);
        dead.set_clock(Timestamp(0));
        let rig = dead.again(|_| {});
        rig.engine.recover(None).await;
        rig.pass(MINUTE);
        assert_kept(&rig, &id).await;
        let new = rig.create_as(sample::id(50), false, sample::declaration(CHUNK), "");
        let new = new.await.unwrap().id;
        rig.set_clock(real);
        assert_kept(&rig, &id).await;
        assert_eq!(rig.state(&new).await, State::Receiving, "made in 1970");
        rig.pass(9 * MINUTE);
        rig.engine.sweep().await;
        assert_eq!(rig.state(&new).await, State::Receiving);
        rig.pass(14 * HOUR);
        assert_kept(&rig, &id).await;
        assert_gone(&rig, &new).await;
    }
}
