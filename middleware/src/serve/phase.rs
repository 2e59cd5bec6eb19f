//! What a connection is doing, and since when.
//!
//! A connection has one [`Phases`]. The I/O wrapper, hyper's timer and the streams of HTTP/2 report
//! to it; the task of the connection asks it what to wait for. Everything the busy path needs is one
//! atomic word, so that reading a body costs a load and a branch.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::rt::{Executor, Sleep, Timer};
use tokio::time::Instant;

use super::outgoing::in_time;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// HTTP/1.1: a request's head has begun to arrive.
    Head,
    /// HTTP/1.1: between requests, no byte of the next one has arrived.
    Idle,
    /// A request is being served.
    Busy,
    /// HTTP/2: no request yet.
    New,
    /// HTTP/2: between requests.
    Quiet,
    /// HTTP/1.1: a response has begun and is not yet all written.
    Answering,
}

impl Phase {
    const BITS: u32 = 3;
    const MASK: u64 = (1 << Self::BITS) - 1;
    const ALL: [Self; 5] = [Self::Head, Self::Idle, Self::Busy, Self::New, Self::Quiet];

    fn of(word: u64) -> Self {
        let index = (word & Self::MASK) as usize;
        Self::ALL.get(index).copied().unwrap_or(Self::Busy)
    }
}

/// A response has begun.
const ANSWERING: u64 = 1;
/// hyper has all of its body.
const ANSWERED: u64 = 2;
/// It may last for ever: its time runs only while the client takes nothing of what there is.
const ENDLESS: u64 = 4;
const ANSWER_BITS: u32 = 3;
const ANSWER_MASK: u64 = (1 << ANSWER_BITS) - 1;

/// The phase of one connection and when it began.
#[derive(Debug)]
pub(super) struct Phases {
    accepted: Instant,
    /// The phase in the low bits, the microseconds from `accepted` to its begin above them.
    word: AtomicU64,
    /// Running HTTP/2 streams. While there are any, the word says nothing.
    streams: AtomicUsize,
    /// Bytes for the client wait in hyper or in the socket.
    unflushed: AtomicBool,
    /// HTTP/1.1: since when there has been a response, in microseconds from `accepted`, above
    /// [`ANSWERING`], [`ANSWERED`] and [`ENDLESS`]; zero while there is none.
    answer: AtomicU64,
    /// The connection's task, while it waits for the last stream to end.
    waiting: Mutex<Option<Waker>>,
}

impl Phases {
    /// A connection whose first bytes speak HTTP/1: its first head counts from `accepted`.
    pub(super) fn http1(accepted: Instant) -> Arc<Self> {
        Self::begin(accepted, Phase::Head)
    }

    /// A connection whose first bytes speak HTTP/2.
    pub(super) fn http2(accepted: Instant) -> Arc<Self> {
        Self::begin(accepted, Phase::New)
    }

    fn begin(accepted: Instant, phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            accepted,
            word: AtomicU64::new(phase as u64),
            streams: AtomicUsize::new(0),
            unflushed: AtomicBool::new(false),
            answer: AtomicU64::new(0),
            waiting: Mutex::new(None),
        })
    }

    /// What the connection is doing.
    pub(super) fn now(&self) -> Phase {
        if self.streams.load(Ordering::Acquire) > 0 {
            return Phase::Busy;
        }
        Phase::of(self.word.load(Ordering::Acquire))
    }

    /// Bytes arrived.
    pub(super) fn received(&self) {
        if Phase::of(self.word.load(Ordering::Relaxed)) == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// Bytes are about to be written.
    pub(super) fn writes(&self) {
        if !self.unflushed.load(Ordering::Relaxed) {
            self.unflushed.store(true, Ordering::Relaxed);
            self.written();
        }
    }

    /// Some of them were.
    pub(super) fn written(&self) {
        let answer = self.answer.load(Ordering::Relaxed);
        if answer & ENDLESS != 0 {
            let since = self.micros() << ANSWER_BITS | answer & ANSWER_MASK;
            self.answer.store(since, Ordering::Relaxed);
        }
    }

    /// HTTP/1.1: a response begins that must be written in time, or, if it is `endless`, whose
    /// client must take what there is of it.
    pub(super) fn answers(&self, endless: bool) {
        let kind = ANSWERING | if endless { ENDLESS } else { 0 };
        // A request that came right behind the one before it gives that one's answer no more time.
        let since = match self.answer.load(Ordering::Relaxed) {
            0 => self.micros(),
            unsent => unsent >> ANSWER_BITS,
        };
        self.answer
            .store(since << ANSWER_BITS | kind, Ordering::Relaxed);
    }

    /// Its body is over.
    pub(super) fn answered(&self) {
        self.answer.fetch_or(ANSWERED, Ordering::Relaxed);
    }

    /// Everything is written.
    pub(super) fn flushed(&self) {
        if self.answer.load(Ordering::Relaxed) & ANSWERED != 0 {
            self.answer.store(0, Ordering::Relaxed);
        }
        if !self.unflushed.load(Ordering::Relaxed) {
            return;
        }
        self.unflushed.store(false, Ordering::Relaxed);
        // hyper begins to wait for the next head when a short body it discards has ended, maybe
        // long before the response is out: the client's time begins now. Not on HTTP/2, where a
        // client can make us write whenever it likes.
        let phase = Phase::of(self.word.load(Ordering::Acquire));
        if matches!(phase, Phase::Idle | Phase::Head) {
            self.enter(phase);
        }
    }

    /// The phase and when it began; none while a request is served or its answer is not yet all
    /// written, unless that must be in time. `waker` is woken when the last stream of an HTTP/2
    /// connection ends.
    pub(super) fn waiting_since(&self, waker: &Waker) -> Option<(Phase, Instant)> {
        if self.streams.load(Ordering::Acquire) > 0 {
            self.wake_when_quiet(waker);
            // The last stream may have ended before it could see the waker.
            if self.streams.load(Ordering::Acquire) > 0 {
                return None;
            }
        }
        let answer = self.answer.load(Ordering::Relaxed);
        let unflushed = self.unflushed.load(Ordering::Relaxed);
        if answer != 0 && (unflushed || answer & ENDLESS == 0) {
            return Some((Phase::Answering, self.after(answer >> ANSWER_BITS)));
        }
        let word = self.word.load(Ordering::Acquire);
        let phase = Phase::of(word);
        // On HTTP/2 a client can make us write whenever it likes, and take nothing of it.
        let is_http2 = matches!(phase, Phase::New | Phase::Quiet);
        if answer != 0 || (unflushed && !is_http2) {
            return None;
        }
        let begin = self.after(word >> Phase::BITS);
        (phase != Phase::Busy).then_some((phase, begin))
    }

    fn enter(&self, phase: Phase) {
        let since = self.micros() << Phase::BITS | phase as u64;
        self.word.store(since, Ordering::Release);
    }

    fn micros(&self) -> u64 {
        self.accepted.elapsed().as_micros() as u64
    }

    fn after(&self, micros: u64) -> Instant {
        self.accepted + Duration::from_micros(micros)
    }

    fn wake_when_quiet(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waiting {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn stream_ended(&self) {
        // The word first: whoever sees no stream must see since when.
        self.enter(Phase::Quiet);
        if self.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waker = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// The timer hyper's HTTP/1 connection is given. It never fires: hyper has one setting for a slow
/// head and an idle connection, we have two. But hyper asks for it exactly when it begins to wait
/// for a head, and drops what it was given when it has one.
#[derive(Clone, Debug)]
pub(super) struct HeadTimer(pub(super) Arc<Phases>);

impl HeadTimer {
    fn waiting_for_head(&self) {
        // The first head counts from the accept, so that phase stays as it is.
        if self.0.now() == Phase::Busy {
            self.0.enter(Phase::Idle);
        }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.waiting_for_head();
        Box::pin(AwaitedHead(Arc::clone(&self.0)))
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(Duration::ZERO)
    }

    fn reset(&self, _: &mut Pin<Box<dyn Sleep>>, _: std::time::Instant) {
        self.waiting_for_head();
    }
}

struct AwaitedHead(Arc<Phases>);

impl Future for AwaitedHead {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for AwaitedHead {}

impl Drop for AwaitedHead {
    fn drop(&mut self) {
        self.0.enter(Phase::Busy);
    }
}

/// Runs the streams of an HTTP/2 connection, each from its request to the end of its response.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) phases: Arc<Phases>,
    pub(super) write_timeout: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.phases.streams.fetch_add(1, Ordering::AcqRel);
        let running = RunningStream(Arc::clone(&self.phases));
        let in_time = in_time(stream, self.write_timeout);
        tokio::spawn(async move {
            if !in_time.await {
                tracing::debug!("a stream was reset: its response was not taken in time");
            }
            drop(running);
        });
    }
}

struct RunningStream(Arc<Phases>);

impl Drop for RunningStream {
    fn drop(&mut self) {
        self.0.stream_ended();
    }
}
