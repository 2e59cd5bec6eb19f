use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::event::{Event, Events};

/// Lets uploads read on, or has them wait. It is open when nobody keeps it shut.
#[derive(Clone, Debug)]
pub struct Gate {
    stand: Arc<watch::Sender<Stand>>,
    events: Events,
}

/// Who keeps the gate shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The network changes.
    Network,
    /// An operator wants it.
    Operator,
}

impl By {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Network, Self::Operator];

    /// As a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Operator => "operator",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Stand {
    /// Who keeps it shut, by [`By`].
    by: [bool; By::ALL.len()],
    /// Since when it is shut.
    shut: Option<Instant>,
    /// How long it was shut before, in all.
    before: Duration,
    /// It stays open.
    released: bool,
}

impl Gate {
    /// A gate that is open, and tells when it shuts and opens.
    #[must_use]
    pub fn new(events: Events) -> Self {
        let stand = Arc::new(watch::Sender::new(Stand::default()));
        Self { stand, events }
    }

    /// Whether uploads may read on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stand.borrow().shut.is_none()
    }

    /// Whether this one keeps it shut.
    #[must_use]
    pub fn is_shut_by(&self, by: By) -> bool {
        self.stand.borrow().by[by as usize]
    }

    /// Waits until uploads may read on. Owned, so that whoever reads can keep it.
    pub fn opened(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stand = self.stand.subscribe();
        async move {
            // The sender is gone with whoever could shut it.
            let _ = stand.wait_for(|stand| stand.shut.is_none()).await;
        }
    }

    /// How long it has been shut, in all.
    #[must_use]
    pub fn shut_for(&self) -> Duration {
        let stand = *self.stand.borrow();
        stand.before + stand.shut.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Has uploads wait from now on; whether this one had not.
    pub fn shut(&self, by: By) -> bool {
        let mut is_new = false;
        self.stand.send_if_modified(|stand| {
            is_new = !stand.released && !stand.by[by as usize];
            if !is_new {
                return false;
            }
            self.events.counts().pauses[by as usize].add(1);
            stand.by[by as usize] = true;
            let shuts = stand.shut.is_none();
            if shuts {
                stand.shut = Some(Instant::now());
                // Told here, so that it cannot come after the end of the pause.
                self.events.tell(Event::Paused);
            }
            shuts
        });
        is_new
    }

    /// Lets them go on, unless another keeps it shut; whether this one had.
    pub fn open(&self, by: By) -> bool {
        let mut was_shut = false;
        self.change(|stand| was_shut = std::mem::take(&mut stand.by[by as usize]));
        was_shut
    }

    /// Lets them go on, for good: the process is to end, and they are to finish.
    pub fn release(&self) {
        self.change(|stand| {
            stand.released = true;
            stand.by = Default::default();
        });
    }

    /// Opens it if nobody keeps it shut after `change`.
    fn change(&self, change: impl FnOnce(&mut Stand)) {
        self.stand.send_if_modified(|stand| {
            change(stand);
            let wanted = stand.by.contains(&true);
            let Some(since) = stand.shut.take_if(|_| !wanted) else {
                return false;
            };
            stand.before += since.elapsed();
            self.events.tell(Event::Resumed);
            true
        });
    }
}
