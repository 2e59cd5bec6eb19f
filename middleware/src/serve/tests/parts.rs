//! The parts on their own, under a clock that the test moves.

use std::future::{poll_fn, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use hyper::rt::{Executor, Timer};
use tokio::sync::Notify;
use tokio::time::{Instant, advance, timeout};

use crate::serve::accept::accept;
use crate::serve::phase::{HeadTimer, Phase, Phases, Streams};

const SECOND: Duration = Duration::from_secs(1);

fn streams(phases: &Arc<Phases>) -> Streams {
    Streams {
        phases: Arc::clone(phases),
        write_timeout: SECOND,
    }
}

fn waiting(phases: &Phases) -> Option<(Phase, Instant)> {
    phases.waiting_since(Waker::noop())
}

#[tokio::test(start_paused = true)]
async fn http1_goes_from_head_to_busy_to_idle_to_head() {
    let accepted = Instant::now();
    let phases = Phases::http1(accepted);
    let timer = HeadTimer(Arc::clone(&phases));
    advance(SECOND).await;

    // The first head counts from the accept, whatever arrives in between.
    let awaited = timer.sleep(SECOND);
    phases.received();
    assert_eq!(waiting(&phases), Some((Phase::Head, accepted)));
    drop(awaited);
    phases.received();
    assert_eq!((waiting(&phases), phases.now()), (None, Phase::Busy));

    advance(SECOND).await;
    let mut awaited = timer.sleep(SECOND);
    let since = Instant::now();
    assert_eq!(waiting(&phases), Some((Phase::Idle, since)));
    advance(SECOND).await;
    timer.reset(&mut awaited, std::time::Instant::now());
    assert_eq!(waiting(&phases), Some((Phase::Idle, since)));

    // The first byte starts the head's time, the second does not start it again.
    phases.received();
    let since = Instant::now();
    advance(SECOND).await;
    phases.received();
    assert_eq!(waiting(&phases), Some((Phase::Head, since)));
    drop(awaited);
    assert_eq!(waiting(&phases), None);
}

#[tokio::test(start_paused = true)]
async fn http2_is_quiet_when_the_last_stream_ends() {
    let accepted = Instant::now();
    let phases = Phases::http2(accepted);
    let streams = streams(&phases);
    phases.received();
    assert_eq!(waiting(&phases), Some((Phase::New, accepted)));

    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    for end in [&first, &second] {
        let end = Arc::clone(end);
        streams.execute(async move { end.notified().await });
    }
    assert_eq!(waiting(&phases), None);
    first.notify_one();
    advance(SECOND).await;
    assert_eq!((waiting(&phases), phases.now()), (None, Phase::Busy));
    second.notify_one();
    // Woken by the end of the stream: the clock must not move.
    let quiet = poll_fn(|cx| {
        phases
            .waiting_since(cx.waker())
            .map_or(Poll::Pending, Poll::Ready)
    });
    let quiet = timeout(SECOND, quiet).await.unwrap();
    assert_eq!(quiet, (Phase::Quiet, Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn no_time_runs_while_an_answer_is_written() {
    let phases = Phases::http1(Instant::now());
    let timer = HeadTimer(Arc::clone(&phases));
    drop(timer.sleep(SECOND));
    phases.writes();
    let _awaited = timer.sleep(SECOND);
    advance(SECOND).await;
    assert_eq!(waiting(&phases), None);
    phases.flushed();
    assert_eq!(waiting(&phases), Some((Phase::Idle, Instant::now())));
    let idle = Instant::now();
    advance(SECOND).await;
    // hyper flushes without having written, too.
    phases.flushed();
    assert_eq!(waiting(&phases), Some((Phase::Idle, idle)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_out_when_its_body_is_over_and_written() {
    let phases = Phases::http1(Instant::now());
    drop(HeadTimer(Arc::clone(&phases)).sleep(SECOND));
    advance(SECOND).await;
    phases.answers(false);
    let begun = Instant::now();
    advance(SECOND).await;
    // A part of it.
    phases.writes();
    phases.flushed();
    assert_eq!(waiting(&phases), Some((Phase::Answering, begun)));
    // The rest of it, which the socket does not take yet.
    phases.writes();
    phases.answered();
    assert_eq!(waiting(&phases), Some((Phase::Answering, begun)));
    // The next request is here already, and answered.
    advance(SECOND).await;
    phases.answers(false);
    assert_eq!(waiting(&phases), Some((Phase::Answering, begun)));
    phases.answered();
    phases.flushed();
    assert_eq!((waiting(&phases), phases.now()), (None, Phase::Busy));
}

#[tokio::test(start_paused = true)]
async fn an_endless_answer_has_time_as_long_as_it_is_taken() {
    let phases = Phases::http1(Instant::now());
    drop(HeadTimer(Arc::clone(&phases)).sleep(SECOND));
    phases.answers(true);
    advance(SECOND).await;
    assert_eq!(waiting(&phases), None, "there is nothing to take");
    for _ in 0..2 {
        // The first bytes after a while, and more of them.
        phases.writes();
        let since = Instant::now();
        advance(SECOND).await;
        phases.writes();
        assert_eq!(waiting(&phases), Some((Phase::Answering, since)));
        phases.written();
        assert_eq!(waiting(&phases), Some((Phase::Answering, Instant::now())));
        phases.flushed();
        assert_eq!(waiting(&phases), None);
    }
    phases.answered();
    phases.flushed();
    assert_eq!((waiting(&phases), phases.now()), (None, Phase::Busy));
}

#[tokio::test(start_paused = true)]
async fn what_an_http2_client_makes_us_write_wins_it_no_time() {
    let accepted = Instant::now();
    let phases = Phases::http2(accepted);
    advance(SECOND).await;
    phases.writes();
    // Nor does it that it takes nothing of that.
    assert_eq!(waiting(&phases), Some((Phase::New, accepted)));
    phases.flushed();
    assert_eq!(waiting(&phases), Some((Phase::New, accepted)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_panics_has_ended() {
    let phases = Phases::http2(Instant::now());
    streams(&phases).execute(async { panic!("on purpose") });
    assert_eq!(phases.now(), Phase::Busy);
    advance(SECOND).await;
    assert_eq!(phases.now(), Phase::Quiet);
}

#[tokio::test(start_paused = true)]
async fn errors_of_accept_are_waited_out() {
    let begin = Instant::now();
    let mut tries = 0;
    let accepted = accept(|| {
        tries += 1;
        ready(match tries {
            1..=5 => Err(io::ErrorKind::ConnectionAborted.into()),
            // No file descriptor left.
            6..=20 => Err(io::Error::from_raw_os_error(24)),
            _ => Ok("a connection"),
        })
    });
    assert_eq!(pin!(accepted).await, "a connection");
    assert_eq!(tries, 21);
    // Doubled from 10 ms, then a second each: seven doublings and eight seconds.
    assert_eq!(begin.elapsed(), Duration::from_millis(1270 + 8000));
}
