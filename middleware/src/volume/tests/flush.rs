//! A filesystem that only counts, hesitates and fails.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc;

use super::super::contract::Open;
use super::*;

/// What was flushed, in the order of ending: a file by its number, everything as 0.
#[derive(Default)]
struct Counting {
    done: Mutex<Vec<usize>>,
    /// What the next flushes of everything answer; nothing: it is not offered.
    everything: Mutex<VecDeque<io::Result<()>>>,
    /// Each flush takes one of these, where there is a gate.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    begun: Mutex<usize>,
}

struct Numbered {
    number: usize,
    disk: Arc<Counting>,
    result: Option<i32>,
}

impl Counting {
    fn pass(&self, number: usize) {
        *self.begun.lock().unwrap() += 1;
        if let Some(gate) = &*self.gate.lock().unwrap() {
            gate.recv().unwrap();
        }
        self.done.lock().unwrap().push(number);
    }

    fn file(self: &Arc<Self>, number: usize, result: Option<i32>) -> Flush {
        let disk = Arc::clone(self);
        Flush::File(Arc::new(Numbered {
            number,
            disk,
            result,
        }))
    }

    fn done(&self) -> Vec<usize> {
        self.done.lock().unwrap().clone()
    }

    fn answer(&self, result: io::Result<()>) {
        self.everything.lock().unwrap().push_back(result);
    }
}

impl Filesystem for Counting {
    fn may_flush_all(&self) -> bool {
        !self.everything.lock().unwrap().is_empty()
    }

    fn flush_all(&self) -> io::Result<()> {
        let result = self.everything.lock().unwrap().pop_front().unwrap();
        self.pass(0);
        result
    }

    fn flush_dir(&self, _: &Path) -> io::Result<()> {
        self.pass(usize::MAX);
        Ok(())
    }

    fn open(&self, _: &Path, _: Open) -> io::Result<Arc<dyn File>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<super::super::contract::Found>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn free_space(&self, _: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

impl File for Numbered {
    fn flush(&self) -> io::Result<()> {
        self.disk.pass(self.number);
        self.result
            .map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn start_write_back(&self, _: u64, _: u64) {}

    fn forget_cache(&self) {}
}

fn flusher() -> (Arc<Counting>, Arc<Flusher>) {
    let disk = Arc::<Counting>::default();
    let files: Arc<dyn Filesystem> = Arc::<Counting>::clone(&disk);
    (disk, Arc::new(Flusher::new(files)))
}

/// Puts work in the queue without starting anybody.
fn queued(flusher: &Flusher, what: Vec<Flush>) -> Vec<oneshot::Receiver<io::Result<()>>> {
    let mut queue = flusher.lock();
    what.into_iter()
        .map(|what| queue.push(what, None))
        .collect()
}

/// Lets one worker do all there is, here.
fn work(flusher: &Arc<Flusher>) {
    {
        let mut queue = flusher.lock();
        queue.workers += 1;
        queue.coming += 1;
    }
    flusher.work();
}

fn answers(asked: Vec<oneshot::Receiver<io::Result<()>>>) -> Vec<Option<i32>> {
    let code = |mut answer: oneshot::Receiver<io::Result<()>>| match answer.try_recv().unwrap() {
        Ok(()) => None,
        Err(error) => error.raw_os_error(),
    };
    asked.into_iter().map(code).collect()
}

#[tokio::test]
async fn a_few_files_are_flushed_one_by_one_and_a_directory_once() {
    let (disk, flusher) = flusher();
    let dir = || Flush::Dir(Arc::new(PathBuf::from("dir")));
    let what = vec![disk.file(1, None), dir(), disk.file(2, None), dir()];
    let asked = queued(&flusher, what);
    work(&flusher);
    assert_eq!(answers(asked), [None; 4]);
    assert_eq!(disk.done(), [1, usize::MAX, 2]);
}

#[tokio::test]
async fn many_files_are_flushed_at_once() {
    let (disk, flusher) = flusher();
    disk.answer(Ok(()));
    let asked = queued(&flusher, (1..=MANY).map(|n| disk.file(n, None)).collect());
    work(&flusher);
    assert_eq!(answers(asked), [None; MANY]);
    assert_eq!(disk.done(), [0]);
}

#[tokio::test]
async fn where_others_write_a_lot_many_are_flushed_one_by_one() {
    let (disk, flusher) = flusher();
    let asked = queued(&flusher, (1..=MANY).map(|n| disk.file(n, None)).collect());
    work(&flusher);
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
    let mut done = disk.done();
    done.sort_unstable();
    assert_eq!(done, (1..=MANY).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_error_of_everything_is_told_to_all_and_no_file_is_tried_again() {
    let (disk, flusher) = flusher();
    disk.answer(Err(io::Error::from_raw_os_error(libc::EIO)));
    let asked = queued(&flusher, (1..=MANY).map(|n| disk.file(n, None)).collect());
    work(&flusher);
    assert_eq!(answers(asked), [Some(libc::EIO); MANY]);
    assert_eq!(disk.done(), [0]);
}

#[tokio::test]
async fn whose_bytes_found_no_room_only_their_file_tells() {
    let (disk, flusher) = flusher();
    disk.answer(Err(io::Error::from_raw_os_error(libc::ENOSPC)));
    let full = |n: usize| (n == 3).then_some(libc::ENOSPC);
    let asked = queued(
        &flusher,
        (1..=MANY).map(|n| disk.file(n, full(n))).collect(),
    );
    work(&flusher);
    for (number, answer) in (1..).zip(asked) {
        let code = answer.await.unwrap().err().and_then(|e| e.raw_os_error());
        assert_eq!(code, full(number), "file {number}");
    }
}

/// What was written after a flush began is not part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flush_asked_for_during_another_is_a_new_one() {
    let (disk, flusher) = flusher();
    let (let_go, gate) = mpsc::channel();
    *disk.gate.lock().unwrap() = Some(gate);
    let file = disk.file(1, None);
    let begun = |count| {
        let disk = Arc::clone(&disk);
        async move {
            while *disk.begun.lock().unwrap() < count {
                tokio::task::yield_now().await;
            }
        }
    };
    let ask = || {
        let (flusher, file) = (Arc::clone(&flusher), file.clone());
        tokio::spawn(async move { Flusher::flush(&flusher, vec![file], None).await })
    };
    let first = ask();
    begun(1).await;
    let second = ask();
    begun(2).await;
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(disk.done(), [1, 1]);
}

/// The error of a file that was in no round may have been told to those who were in one.
#[tokio::test]
async fn after_an_error_of_everything_every_file_is_asked() {
    for code in [libc::EIO, libc::ENOSPC] {
        let (disk, flusher) = flusher();
        disk.answer(Err(io::Error::from_raw_os_error(code)));
        disk.answer(Ok(()));
        let many = || (1..=MANY).map(|n| disk.file(n, None)).collect();
        let asked = queued(&flusher, many());
        work(&flusher);
        for answer in asked {
            let _ = answer.await.unwrap();
        }
        let lost = |n: usize| (n == 3).then_some(code);
        let files = (1..=MANY).map(|n| disk.file(n, lost(n))).collect();
        let asked = queued(&flusher, files);
        work(&flusher);
        for (number, answer) in (1..).zip(asked) {
            let told = answer.await.unwrap().err().and_then(|e| e.raw_os_error());
            assert_eq!(told, lost(number), "file {number}");
        }
    }
}

/// Something whose drop is seen.
fn seen_queued() -> (Queued, std::sync::Weak<()>) {
    let held = Arc::new(());
    let seen = Arc::downgrade(&held);
    (Box::new(held), seen)
}

fn waits(seen: &std::sync::Weak<()>) -> bool {
    seen.strong_count() > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn as_many_are_flushed_at_a_time_as_there_are_workers() {
    let (disk, flusher) = flusher();
    let (let_go, gate) = mpsc::channel();
    *disk.gate.lock().unwrap() = Some(gate);
    flusher.employ(2);
    let mut seen = Vec::new();
    let mut asked = tokio::task::JoinSet::new();
    for number in 1..=6 {
        let (queued, weak) = seen_queued();
        seen.push(weak);
        let (flusher, file) = (Arc::clone(&flusher), disk.file(number, None));
        asked.spawn(async move { Flusher::flush(&flusher, vec![file], Some(queued)).await });
    }
    let waiting = |count: usize| {
        let seen = &seen;
        async move {
            while seen.iter().filter(|seen| waits(seen)).count() != count {
                tokio::task::yield_now().await;
            }
        }
    };
    waiting(4).await;
    assert_eq!(flusher.lock().workers, 2);
    flusher.employ(3);
    waiting(3).await;
    assert_eq!(flusher.lock().workers, 3);
    // Of fewer, the next to end take nothing more.
    flusher.employ(1);
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    for _ in 0..2 {
        asked.join_next().await.unwrap().unwrap().unwrap();
    }
    while flusher.lock().workers > 1 {
        tokio::task::yield_now().await;
    }
    waiting(3).await;
    for _ in 0..4 {
        let_go.send(()).unwrap();
    }
    while let Some(flushed) = asked.join_next().await {
        flushed.unwrap().unwrap();
    }
    assert_eq!(disk.done().len(), 6);
}

/// Puts many files in the queue; the answers, and who waits.
fn many_queued(
    flusher: &Flusher,
    disk: &Arc<Counting>,
) -> Vec<(oneshot::Receiver<io::Result<()>>, std::sync::Weak<()>)> {
    let push = |number| {
        let (queued, seen) = seen_queued();
        let answer = flusher.lock().push(disk.file(number, None), Some(queued));
        (answer, seen)
    };
    (1..=MANY).map(push).collect()
}

#[tokio::test]
async fn who_is_flushed_with_everything_waits_no_more_and_who_is_not_does() {
    // (whether others write little, how many wait while a flush goes on)
    for (is_quiet, waiting) in [(true, 0), (false, MANY - 1)] {
        let (disk, flusher) = flusher();
        let (let_go, gate) = mpsc::channel();
        *disk.gate.lock().unwrap() = Some(gate);
        flusher.employ(1);
        if is_quiet {
            disk.answer(Ok(()));
        }
        let asked = many_queued(&flusher, &disk);
        let worker = Arc::clone(&flusher);
        let working = tokio::task::spawn_blocking(move || work(&worker));
        while *disk.begun.lock().unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        let wait = asked.iter().filter(|(_, seen)| waits(seen)).count();
        assert_eq!(wait, waiting, "{is_quiet}");
        for _ in 0..MANY {
            let_go.send(()).unwrap();
        }
        working.await.unwrap();
        for (answer, _) in asked {
            answer.await.unwrap().unwrap();
        }
    }
}
