use std::time::Duration;

use proptest::prelude::*;

use crate::admission::bucket::Bucket;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn what_comes_in_a_second_may_come_at_once() {
    // (rate, burst)
    for (rate, burst) in [
        (MIB, MIB),
        (64 * KIB, 64 * KIB),
        (KIB, 64 * KIB),
        (1, 64 * KIB),
    ] {
        let mut bucket = Bucket::default();
        let turn = bucket.take(burst - 1);
        assert_eq!(bucket.wait(turn, millis(0), rate), Duration::ZERO, "{rate}");
        let turn = bucket.take(1);
        let one = Duration::from_nanos(1_000_000_000_u64.div_ceil(rate));
        assert_eq!(bucket.wait(turn, millis(0), rate), one, "{rate}");
        assert_eq!(bucket.wait(turn, one, rate), Duration::ZERO, "{rate}");
    }
}

#[test]
fn what_is_overdrawn_is_waited_for() {
    let mut bucket = Bucket::default();
    let turn = bucket.take(3 * MIB - 1);
    assert_eq!(bucket.wait(turn, millis(0), MIB), millis(2000));
    assert_eq!(bucket.wait(turn, millis(1500), MIB), millis(500));
    assert_eq!(bucket.wait(turn, millis(2000), MIB), millis(0));
    // Nothing is saved up beyond a second's worth.
    assert!(bucket.is_paid(millis(60_000), MIB));
    let turn = bucket.take(2 * MIB - 1);
    assert_eq!(bucket.wait(turn, millis(60_000), MIB), millis(1000));
}

#[test]
fn turns_come_one_after_the_other() {
    let mut bucket = Bucket::default();
    let first = bucket.take(MIB - 1);
    let second = bucket.take(MIB);
    let third = bucket.take(MIB);
    let newcomer = bucket.turn();
    let waits = [first, second, third, newcomer].map(|turn| bucket.wait(turn, millis(0), MIB));
    assert_eq!(waits, [0, 1000, 2000, 2000].map(millis));
}

#[test]
fn another_rate_holds_for_those_who_wait() {
    let mut bucket = Bucket::default();
    let turn = bucket.take(5 * MIB - 1);
    assert_eq!(bucket.wait(turn, millis(0), MIB), millis(4000));
    // 4 MiB are owed beyond what may come at once; now 2 MiB may.
    assert_eq!(bucket.wait(turn, millis(1000), 2 * MIB), millis(500));
    assert_eq!(bucket.wait(turn, millis(1500), 2 * MIB), millis(0));
}

#[test]
fn a_clock_that_stands_still_pays_nothing_twice() {
    let mut bucket = Bucket::default();
    let turn = bucket.take(64 * KIB + 9);
    for at in [0, 500, 999, 999, 500] {
        assert!(
            bucket.wait(turn, millis(at), 1) >= Duration::from_secs(9),
            "{at}"
        );
    }
    for at in 1..=10 {
        let wait = bucket.wait(turn, Duration::from_secs(at), 1);
        assert_eq!(wait, Duration::from_secs(10 - at), "{at}");
    }
}

proptest! {
    /// Whatever the reads and the moments at which it is asked, not more is let through than the
    /// rate, what may come at once, and one read that overdraws.
    #[test]
    fn no_more_than_the_rate(
        rate in 1..10 * MIB,
        steps in prop::collection::vec((1..200 * KIB, 0..50_000_000_u64), 1..200),
    ) {
        let (mut bucket, mut now, mut sum) = (Bucket::default(), Duration::ZERO, 0);
        let mut turn = bucket.turn();
        for (bytes, nanos) in steps {
            now += Duration::from_nanos(nanos);
            if bucket.wait(turn, now, rate).is_zero() {
                let most = u128::from(rate) * now.as_nanos() / 1_000_000_000
                    + u128::from(rate.max(64 * KIB));
                prop_assert!(u128::from(sum) <= most, "{sum} of {most}");
                turn = bucket.take(bytes);
                sum += bytes;
            }
        }
    }
}
