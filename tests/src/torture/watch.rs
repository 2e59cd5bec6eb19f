//! Clients that look at a server while something it depends on fails: one asks for a route of the
//! app's own, one sends an upload chunk by chunk, one asks for its status and for new uploads.
//!
//! What they see is judged afterwards, by whoever knows when the fault struck.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::book::{Book, Heard, How};
use super::ledger::Phase;
use super::load;
use super::oracle::View;
use super::plan::Plan;
use super::wire::{self, Wire};
use crate::config::CHUNK;
use crate::http::Response;

/// How often the upload is gone on with, and how often the rest is asked for.
const CHUNK_EVERY: Duration = Duration::from_millis(100);
const OTHER_EVERY: Duration = Duration::from_millis(20);
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Between two looks at what was seen.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A route of the app's own.
    Other,
    /// That a chunk is taken.
    Chunk,
    /// How the upload stands.
    Status,
    /// A new upload.
    Create,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Taken,
    /// 503 `store_unavailable`, and when to come back.
    Refused,
    /// Anything else.
    Wrong(String),
}

/// One request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What was asked for.
    pub what: What,
    /// When it began.
    pub begun: Instant,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub verdict: Verdict,
}

impl Seen {
    /// When it was answered.
    #[must_use]
    pub fn ended(&self) -> Instant {
        self.begun + self.took
    }
}

/// What is looked at, and what was seen.
#[derive(Debug)]
pub struct Watch<'a> {
    addr: SocketAddr,
    book: &'a Mutex<Book>,
    upload: usize,
    seen: Mutex<Vec<Seen>>,
    stop: AtomicBool,
}

/// Watches the server at `addr` while `work` goes on, by means of the upload `upload`, which nobody
/// else sends.
pub fn during<T>(
    addr: SocketAddr,
    book: &Mutex<Book>,
    upload: usize,
    work: impl FnOnce(&Watch<'_>) -> T,
) -> (T, Vec<Seen>) {
    let watch = Watch {
        addr,
        book,
        upload,
        seen: Mutex::default(),
        stop: AtomicBool::new(false),
    };
    let rest: &[Ask<'_>] = &[Watch::status, Watch::create];
    let out = std::thread::scope(|scope| {
        scope.spawn(|| watch.every(OTHER_EVERY, &[Watch::other]));
        scope.spawn(|| watch.every(CHUNK_EVERY, &[Watch::chunk]));
        scope.spawn(|| watch.every(ASK_EVERY, rest));
        let stopping = StopOnDrop(&watch.stop);
        let out = work(&watch);
        drop(stopping);
        out
    });
    let seen = watch.seen.into_inner();
    (out, seen.unwrap_or_else(PoisonError::into_inner))
}

/// Raises the flag in any case: nobody watches longer than there is something to see.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Ask<'a> = fn(&Watch<'a>, &mut Wire) -> Option<(What, Verdict)>;

impl<'a> Watch<'a> {
    /// How long after `from` the upload went on; `None` when it does not within `limit`.
    #[must_use]
    pub fn goes_on(&self, from: Instant, limit: Duration) -> Option<Duration> {
        let goes_on = |seen: &&Seen| {
            seen.what == What::Chunk && seen.verdict == Verdict::Taken && seen.ended() >= from
        };
        loop {
            if let Some(seen) = self.seen().iter().find(goes_on) {
                return Some(seen.ended() - from);
            }
            if from.elapsed() > limit {
                return None;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn every(&self, pause: Duration, asks: &[Ask<'a>]) {
        let mut wire = Wire::new(self.addr);
        for ask in asks.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let begun = Instant::now();
            if let Some((what, verdict)) = ask(self, &mut wire) {
                let took = begun.elapsed();
                self.seen().push(Seen {
                    what,
                    begun,
                    took,
                    verdict,
                });
            }
            std::thread::sleep(pause);
        }
    }

    fn other(&self, wire: &mut Wire) -> Option<(What, Verdict)> {
        let verdict = match wire.ask(&wire::other()) {
            Ok(response) if response.status == 200 => Verdict::Taken,
            Ok(response) => Verdict::Wrong(response.status.to_string()),
            Err(error) => Verdict::Wrong(error.to_string()),
        };
        Some((What::Other, verdict))
    }

    /// Sends the next chunk, but for the last one, whose answer would be that of the handler.
    fn chunk(&self, wire: &mut Wire) -> Option<(What, Verdict)> {
        let (id, plan, chunk) = {
            let mut book = load::open(self.book);
            let upload = &mut book.uploads[self.upload];
            let mut chunks = 0..upload.plan.chunks().saturating_sub(1);
            let chunk = chunks.find(|chunk| !upload.acked.contains_key(chunk))?;
            upload.offered.insert(chunk);
            (upload.id.clone()?, Arc::clone(&upload.plan), chunk)
        };
        let request = wire::chunk(&id, chunk, plan.bytes(chunk));
        let heard = Heard::of(wire, |wire| wire.ask(&request).ok());
        load::open(self.book).put(self.upload, chunk, How::Whole, &heard);
        let no_answer = || Err(io::Error::other("no answer"));
        let answer = heard.answer.map_or_else(no_answer, Ok);
        Some((What::Chunk, verdict(&answer)))
    }

    /// Asks how the upload stands: what was acknowledged before is listed.
    fn status(&self, wire: &mut Wire) -> Option<(What, Verdict)> {
        let (id, acked) = {
            let book = load::open(self.book);
            let upload = &book.uploads[self.upload];
            let acked: BTreeSet<usize> = upload.acked.keys().copied().collect();
            (upload.id.clone()?, acked)
        };
        let answer = wire.ask(&wire::status(&id));
        let mut verdict = verdict(&answer);
        if let (Verdict::Taken, Ok(response)) = (&verdict, &answer) {
            let view = View::read(response);
            let less: Vec<_> = acked.intersection(&view.missing).collect();
            if !less.is_empty() || view.state != "receiving" {
                verdict = Verdict::Wrong(format!("{} without chunks {less:?}", view.state));
            }
        }
        Some((What::Status, verdict))
    }

    fn create(&self, wire: &mut Wire) -> Option<(What, Verdict)> {
        let (number, plan) = {
            let mut book = load::open(self.book);
            let name = book.next_name();
            let seed = book.uploads.len() as u64;
            let number = book.enter(Plan::plain(name, CHUNK, seed));
            // Nobody waits for one whose answer is lost.
            book.uploads[number].phase = Phase::Closed;
            (number, Arc::clone(&book.uploads[number].plan))
        };
        let answer = wire.send(&wire::create(&plan));
        if let Ok(response) = &answer {
            let mut book = load::open(self.book);
            book.uploads[number].phase = Phase::Open;
            book.created(number, response);
        }
        Some((What::Create, verdict(&answer)))
    }
}

/// What came of a request to one of our routes.
fn verdict(answer: &io::Result<Response>) -> Verdict {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return Verdict::Wrong(error.to_string()),
    };
    let is_told_when = response.text("retry-after").is_some();
    match (response.status, response.code().as_str()) {
        (200 | 201, _) => Verdict::Taken,
        (503, "store_unavailable") if is_told_when => Verdict::Refused,
        (status, code) => Verdict::Wrong(format!("{status} {code}")),
    }
}
