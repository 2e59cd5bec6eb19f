//! What may be used once is used once on all servers together.

use std::time::Duration;

use super::patient::Patient;

const LONG: Duration = Duration::from_secs(3_600);
/// So often one is used up whose reply was lost, at most.
const TRIES: u8 = 20;

pub(super) async fn what_may_be_used_once_is_used_once(one: Patient<'_>, other: Patient<'_>) {
    let mut had = 0;
    for number in 0..TRIES {
        let print = [number; 16];
        let first = one.spend(print, LONG).await;
        had += u8::from(first.is_new);
        for server in [other, one] {
            let again = server.spend(print, LONG).await;
            assert!(!again.is_new, "{number}");
            assert_eq!(again.since, first.since, "since when it is known");
        }
    }
    assert!(had > 0, "nothing was to be had");
}

pub(super) async fn what_was_used_up_is_forgotten_when_it_may_be(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let print = [7; 16];
    one.spend(print, Duration::from_millis(1)).await;
    let begun = std::time::Instant::now();
    while !other.spend(print, Duration::from_millis(1)).await.is_new {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is kept");
    }
}
