//! Who waits for room, who may come, and who is refused.

use std::time::Duration;

use tokio::time::Instant;

use super::queue::limits;
use crate::admission::Figures;
use crate::admission::line::{Line, Verdict};

const SECOND: Duration = Duration::from_secs(1);

fn full(size: usize, now: Instant) -> Line {
    let mut line = Line::new(limits(size));
    for _ in 0..size {
        assert!(!line.is_full() && line.ask(now).is_none());
        line.enter(now);
    }
    line
}

#[test]
fn whoever_finds_it_full_waits_for_two_seconds() {
    let now = Instant::now();
    let mut line = full(3, now);
    let asking = line.ask(now).unwrap();
    let until = now + 2 * SECOND;
    assert_eq!(line.verdict(&asking, now), Verdict::Wait(until));
    assert_eq!(
        line.verdict(&asking, now + SECOND * 19 / 10),
        Verdict::Wait(until)
    );
    assert_eq!(line.verdict(&asking, until), Verdict::Refused);
    line.end();
    let figures = line.figures();
    assert_eq!((figures.asking, figures.waits, figures.refused), (0, 1, 1));
}

#[test]
fn when_there_is_room_again_all_who_wait_may_come_whoever_is_quicker() {
    let now = Instant::now();
    let mut line = full(3, now);
    let asking: Vec<_> = (0..5).map(|_| line.ask(now).unwrap()).collect();
    assert!(line.leave(now), "it opens");
    // Somebody else takes the room before they look.
    line.enter(now);
    assert!(line.is_full());
    let newer = line.ask(now).unwrap();
    for asking in &asking {
        assert_eq!(line.verdict(asking, now + 60 * SECOND), Verdict::Come);
    }
    assert_eq!(line.verdict(&newer, now), Verdict::Wait(now + 2 * SECOND));
    assert_eq!(line.figures().asking, 6);
}

/// Bodies that were coming already are put in line, however long it is.
#[test]
fn a_line_that_is_too_long_has_room_when_it_is_short_enough() {
    let now = Instant::now();
    let mut line = full(3, now);
    for _ in 0..4 {
        line.enter(now);
    }
    let asking = line.ask(now).unwrap();
    for _ in 0..4 {
        assert!(!line.leave(now));
        assert_ne!(line.verdict(&asking, now), Verdict::Come);
    }
    assert!(line.leave(now));
    assert_eq!(line.verdict(&asking, now), Verdict::Come);
    assert!(!line.leave(now) && !line.leave(now), "it was open");
    let expected = Figures {
        workers: 1,
        queue: 0,
        asking: 1,
        waits: 1,
        refused: 0,
    };
    assert_eq!(line.figures(), expected);
}
