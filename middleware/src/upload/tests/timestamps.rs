use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::upload::Timestamp;

#[test]
fn arithmetic_stops_at_its_ends() {
    assert_eq!(Timestamp(5).after(Duration::from_millis(7)), Timestamp(12));
    assert_eq!(Timestamp(5).after(Duration::MAX), Timestamp(u64::MAX));
    assert_eq!(
        Timestamp(u64::MAX).after(Duration::from_millis(1)),
        Timestamp(u64::MAX)
    );
    assert_eq!(Timestamp(12).since(Timestamp(5)), Duration::from_millis(7));
    assert_eq!(Timestamp(5).since(Timestamp(12)), Duration::ZERO);
}

#[test]
fn it_is_milliseconds_since_the_epoch() {
    let moment = UNIX_EPOCH + Duration::new(3, 999_999);
    assert_eq!(Timestamp::from(moment), Timestamp(3_000));
    assert_eq!(
        Timestamp(3_000).to_system_time(),
        UNIX_EPOCH + Duration::from_secs(3)
    );
    assert_eq!(
        Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)),
        Timestamp(0)
    );
    assert!(Timestamp::from(SystemTime::now()) > Timestamp(1_700_000_000_000));
}
