//! What may be used once is used once on all servers together.

use std::time::{Duration, SystemTime};

use super::super::Once;
use super::patient::Patient;
use crate::upload::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
/// So often one is used up whose reply was lost, at most.
const TRIES: u8 = 20;

fn once(number: u8, patience: Duration) -> Once {
    Once {
        print: [number; 16],
        made: Timestamp::from(SystemTime::now()).0 / 1_000,
        patience,
    }
}

pub(super) async fn what_may_be_used_once_is_used_once(one: Patient<'_>, other: Patient<'_>) {
    let mut had = 0;
    for number in 0..TRIES {
        let once = once(number, MINUTE);
        let first = one.spend(once).await;
        had += u8::from(first.is_new);
        for server in [other, one] {
            assert!(!server.spend(once).await.is_new, "{number}");
        }
    }
    assert!(had > 0, "nothing was to be had");
}

/// What the less patient one could forget the more patient one could take again.
pub(super) async fn what_may_be_forgotten_does_not_count_for_who_is_more_patient(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let first = once(1, MINUTE);
    one.spend(first).await;
    let second = once(2, 60 * MINUTE);
    let spent = other.spend(second).await;
    assert!(spent.since >= first.made.saturating_sub(61), "{spent:?}");
    // It stays so for everybody.
    let later = one.spend(once(3, MINUTE)).await;
    assert!(later.since >= spent.since, "{later:?} {spent:?}");
}
