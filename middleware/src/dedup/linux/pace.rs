use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inbox::Inbox;
use super::trouble::Trouble;

/// How many times as long as it works the thread rests.
const REST: u32 = 3;
/// Rests that are shorter are put together.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(2);

/// Keeps the work at a quarter of one core and of the time of the disk at most: what takes longer,
/// because others use the disk, is followed by a longer rest.
pub struct Pace {
    inbox: Arc<Inbox>,
    owed: Duration,
}

impl Pace {
    pub fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            owed: Duration::ZERO,
        }
    }

    /// Does a piece of work, then rests for it.
    ///
    /// # Errors
    /// Those of the work; [`Trouble::Stopped`] when the work is to end.
    pub fn piece<T, E>(&mut self, work: impl FnOnce() -> Result<T, E>) -> Result<T, Trouble>
    where
        Trouble: From<E>,
    {
        let begun = Instant::now();
        let result = work();
        self.owed += begun.elapsed() * REST;
        if self.owed >= REST_MIN {
            self.inbox.rest(self.owed.min(REST_MAX));
            self.owed = Duration::ZERO;
        }
        match self.inbox.is_stopped() {
            true => Err(Trouble::Stopped),
            false => Ok(result?),
        }
    }
}
