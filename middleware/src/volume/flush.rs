//! Flushes that share their way.
//!
//! As many files are flushed at the same time as there are workers, which lets the kernel join
//! their commits. When more wait, everything is flushed at once, where the filesystem offers that: one
//! call for all of them, a third of the work. Whoever comes while that runs waits for the next round,
//! because what was written after it began may not be part of it.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::contract::{File, Filesystem};
use super::error::is_full;

/// Workers, until [`Flusher::employ`] says how many.
const WORKERS: usize = 8;
/// Files that make it worth to flush everything.
const MANY: usize = 8;
/// After others were found to write a lot, files are flushed by themselves for so long.
const ONE_BY_ONE: Duration = Duration::from_millis(100);
/// After many files, more are expected for so long: one worker then takes all that wait, from two on.
const BUSY: Duration = Duration::from_millis(100);

/// Something to be made durable.
#[derive(Clone)]
pub enum Flush {
    /// The bytes of a file.
    File(Arc<dyn File>),
    /// The names in a directory.
    Dir(Arc<PathBuf>),
}

impl Flush {
    fn run(&self, files: &dyn Filesystem) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Dir(dir) => files.flush_dir(dir),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => Arc::ptr_eq(one, other),
            (Self::Dir(one), Self::Dir(other)) => one == other,
            _ => false,
        }
    }
}

/// Something that is dropped when a worker has begun; until then it waits for one.
pub type Queued = Box<dyn Any + Send>;

/// Flushes what is asked for.
pub(super) struct Flusher {
    files: Arc<dyn Filesystem>,
    queue: Mutex<Queue>,
}

struct Queue {
    waiting: VecDeque<Waiting>,
    /// Workers there may be, those there are, and those of them that have not come to the queue
    /// yet.
    workers_max: usize,
    workers: usize,
    coming: usize,
    /// Whether everything is being flushed: those who come now wait for it to end.
    gathering: bool,
    /// Until when it is not worth to ask whether everything can be flushed at once.
    one_by_one_until: Option<Instant>,
    /// Until when many are expected.
    busy_until: Option<Instant>,
    /// Set when everything could not be flushed. The error is told once, to whoever was in that
    /// round, and may be about bytes of a file that was not: from then on each file is asked.
    failed: bool,
}

struct Waiting {
    what: Flush,
    done: Vec<oneshot::Sender<io::Result<()>>>,
    queued: Vec<Queued>,
}

impl Waiting {
    fn begin(&mut self) {
        self.queued.clear();
    }

    fn answer(self, result: &io::Result<()>) {
        for done in self.done {
            // Whoever does not wait any more needs no answer.
            let _ = done.send(copy(result));
        }
    }
}

/// What a worker does next.
enum Round {
    One(Waiting),
    Many(VecDeque<Waiting>),
}

impl Flusher {
    pub(super) fn new(files: Arc<dyn Filesystem>) -> Self {
        Self {
            files,
            queue: Mutex::new(Queue::new()),
        }
    }

    /// Lets so many files be flushed at the same time from now on.
    pub(super) fn employ(self: &Arc<Self>, workers: usize) {
        self.lock().workers_max = workers;
        self.hire();
    }

    /// Flushes one after the other, here.
    pub(super) fn flush_here(&self, what: &[Flush]) -> io::Result<()> {
        what.iter()
            .map(|what| what.run(self.files.as_ref()))
            .fold(Ok(()), Result::and)
    }

    pub(super) async fn flush(
        this: &Arc<Self>,
        what: Vec<Flush>,
        mut queued: Option<Queued>,
    ) -> io::Result<()> {
        let push = |what| this.lock().push(what, queued.take());
        let answers: Vec<_> = what.into_iter().map(push).collect();
        this.hire();
        let mut result = Ok(());
        for mut answer in answers {
            // The one worker that was to take it along may be stuck.
            let answer = match timeout(BUSY, &mut answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    this.hire();
                    answer.await
                }
            };
            result = result.and(answer.unwrap_or_else(|gone| Err(io::Error::other(gone))));
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock can leave a half-made change behind.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there are workers for those who wait.
    fn hire(self: &Arc<Self>) {
        let hired = self.lock().hire();
        for _ in 0..hired {
            let flusher = Arc::clone(self);
            tokio::task::spawn_blocking(move || flusher.work());
        }
    }

    fn may_flush_all(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.files.may_flush_all())).unwrap_or(false)
    }

    fn work(self: &Arc<Self>) {
        self.lock().coming -= 1;
        loop {
            let round = self.lock().next();
            match round {
                None => return,
                Some(Round::One(mut waiting)) => {
                    waiting.begin();
                    let result = caught(|| waiting.what.run(self.files.as_ref()));
                    waiting.answer(&result);
                }
                Some(Round::Many(mut waiting)) => {
                    let flushed = self.may_flush_all().then(|| {
                        waiting.iter_mut().for_each(Waiting::begin);
                        caught(|| self.files.flush_all())
                    });
                    let failed = flushed.as_ref().is_some_and(Result::is_err);
                    let left = answer_all(waiting, flushed);
                    self.lock().end_round(left, failed);
                    self.hire();
                }
            }
        }
    }
}

impl Queue {
    fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            workers_max: WORKERS,
            workers: 0,
            coming: 0,
            gathering: false,
            one_by_one_until: None,
            busy_until: None,
            failed: false,
        }
    }

    fn push(&mut self, what: Flush, queued: Option<Queued>) -> oneshot::Receiver<io::Result<()>> {
        let (done, answer) = oneshot::channel();
        match self.waiting.iter_mut().find(|w| w.what.is_same(&what)) {
            Some(waiting) => {
                waiting.done.push(done);
                waiting.queued.extend(queued);
            }
            None => self.waiting.push_back(Waiting {
                what,
                done: vec![done],
                queued: queued.into_iter().collect(),
            }),
        }
        answer
    }

    /// How many workers are to be started.
    fn hire(&mut self) -> usize {
        if self.gathering {
            return 0;
        }
        let max = if self.is_busy() { 1 } else { self.workers_max };
        let wanted = self.waiting.len().saturating_sub(self.coming);
        let hired = wanted.min(max.saturating_sub(self.workers));
        self.workers += hired;
        self.coming += hired;
        hired
    }

    /// What the calling worker does next; it ends when there is nothing.
    fn next(&mut self) -> Option<Round> {
        let dismissed = self.workers > self.workers_max;
        if self.waiting.is_empty() || self.gathering || dismissed {
            self.workers -= 1;
            return None;
        }
        let one_by_one = self
            .one_by_one_until
            .is_some_and(|until| Instant::now() < until);
        let many = if self.is_busy() { 2 } else { MANY };
        if self.waiting.len() >= many && !one_by_one && !self.failed {
            if self.waiting.len() >= MANY {
                self.busy_until = Some(Instant::now() + BUSY);
            }
            self.gathering = true;
            return Some(Round::Many(std::mem::take(&mut self.waiting)));
        }
        self.waiting.pop_front().map(Round::One)
    }

    fn is_busy(&self) -> bool {
        self.busy_until.is_some_and(|until| Instant::now() < until)
    }

    /// Ends a round for many, of which `left` could not be flushed together.
    fn end_round(&mut self, left: VecDeque<Waiting>, failed: bool) {
        self.gathering = false;
        self.failed |= failed;
        if left.is_empty() && !failed {
            return;
        }
        self.busy_until = None;
        self.one_by_one_until = Some(Instant::now() + ONE_BY_ONE);
        // Entries that came meanwhile stay apart, even for the same file: bytes written since
        // this round began are theirs.
        let newer = std::mem::replace(&mut self.waiting, left);
        self.waiting.extend(newer);
    }
}

/// Tells everybody how flushing everything went; answers those who have to be flushed one by one
/// instead.
fn answer_all(all: VecDeque<Waiting>, result: Option<io::Result<()>>) -> VecDeque<Waiting> {
    match result {
        // Whose bytes found no room only their own files tell; any other error is about all.
        Some(result) if !result.as_ref().is_err_and(is_full) => {
            all.into_iter().for_each(|waiting| waiting.answer(&result));
            VecDeque::new()
        }
        _ => all,
    }
}

/// A worker that panicked would be missed for ever, and those who wait for it would wait.
fn caught(flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let flushed = catch_unwind(AssertUnwindSafe(flush));
    flushed.unwrap_or_else(|_| Err(io::Error::other("the flush panicked")))
}

/// The same result for one more of those who asked.
fn copy(result: &io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(error.raw_os_error().map_or_else(
            || io::Error::new(error.kind(), error.to_string()),
            io::Error::from_raw_os_error,
        )),
    }
}

#[cfg(test)]
#[path = "tests/flush.rs"]
mod tests;
