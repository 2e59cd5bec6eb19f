use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most paths remembered; when there are more, everything is looked at again instead.
const PATHS_MAX: usize = 16_384;

/// What is to be looked at, and when: where the watch and the worker meet.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    stop: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: HashMap<PathBuf, Instant>,
    rescan: bool,
    unwatched: bool,
    stopped: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can leave a half-made change behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `path` looked at at `due`, and not before.
    pub fn put(&self, path: &Path, due: Instant) {
        let mut state = self.lock();
        if let Some(known) = state.due.get_mut(path) {
            *known = due;
        } else if state.due.len() < PATHS_MAX {
            state.due.insert(path.to_owned(), due);
        } else {
            state.due = HashMap::new();
            state.rescan = true;
        }
    }

    /// Has everything looked at: something has happened, and nobody knows where.
    pub fn rescan(&self) {
        self.lock().rescan = true;
    }

    /// Whether everything is to be looked at; said once.
    pub fn take_rescan(&self) -> bool {
        std::mem::take(&mut self.lock().rescan)
    }

    /// Some directories are not watched, and never will be by this watch.
    pub fn unwatched(&self) {
        let mut state = self.lock();
        (state.unwatched, state.rescan) = (true, true);
    }

    /// Whether the watch is of no use any more; said once.
    pub fn take_unwatched(&self) -> bool {
        std::mem::take(&mut self.lock().unwatched)
    }

    /// The paths that are due.
    pub fn take_due(&self, now: Instant) -> Vec<PathBuf> {
        let mut state = self.lock();
        let due = state.due.extract_if(|_, due| *due <= now);
        due.map(|(path, _)| path).collect()
    }

    /// Ends the work.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.stop.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for as long, or until the work is to end.
    pub fn rest(&self, time: Duration) {
        let running = |state: &mut State| !state.stopped;
        drop(self.stop.wait_timeout_while(self.lock(), time, running));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_again_is_put_off() {
        let inbox = Inbox::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        inbox.put(Path::new("a"), now);
        inbox.put(Path::new("b"), now + second);
        inbox.put(Path::new("a"), now + 2 * second);
        assert_eq!(inbox.take_due(now), [""; 0].map(PathBuf::from));
        assert_eq!(inbox.take_due(now + second), ["b"].map(PathBuf::from));
        assert_eq!(inbox.take_due(now + 2 * second), ["a"].map(PathBuf::from));
        assert!(inbox.take_due(now + 3 * second).is_empty());
    }

    #[test]
    fn more_than_can_be_remembered_is_everything() {
        let inbox = Inbox::default();
        let now = Instant::now();
        for number in 0..PATHS_MAX {
            inbox.put(Path::new(&number.to_string()), now);
        }
        inbox.put(Path::new("0"), now);
        assert!(!inbox.take_rescan(), "as many fit");
        inbox.put(Path::new("one more"), now);
        assert!(inbox.take_due(now).is_empty());
        assert!(inbox.take_rescan());
        assert!(!inbox.take_rescan(), "said once");
    }

    #[test]
    fn a_rest_ends_when_the_work_does() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            let resting = scope.spawn(|| inbox.rest(Duration::from_secs(3600)));
            inbox.stop();
            assert!(resting.join().is_ok());
        });
        assert!(inbox.is_stopped());
    }
}
