use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Lets uploads read on, or has them wait.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<Stand>>);

#[derive(Clone, Copy, Debug, Default)]
struct Stand {
    /// Since when it is shut.
    shut: Option<Instant>,
    /// How long it was shut before, in all.
    before: Duration,
    /// It stays open.
    released: bool,
}

impl Default for Gate {
    /// A gate that is open.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Stand::default())))
    }
}

impl Gate {
    /// Whether uploads may read on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.borrow().shut.is_none()
    }

    /// Waits until uploads may read on. Owned, so that whoever reads can keep it.
    pub fn opened(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stand = self.0.subscribe();
        async move {
            // The sender is gone with whoever could shut it.
            let _ = stand.wait_for(|stand| stand.shut.is_none()).await;
        }
    }

    /// How long it has been shut, in all.
    #[must_use]
    pub fn shut_for(&self) -> Duration {
        let stand = *self.0.borrow();
        stand.before + stand.shut.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Has uploads wait from now on.
    pub fn shut(&self) {
        self.0.send_if_modified(|stand| {
            let shuts = stand.shut.is_none() && !stand.released;
            if shuts {
                stand.shut = Some(Instant::now());
            }
            shuts
        });
    }

    /// Lets them go on.
    pub fn open(&self) {
        self.0.send_if_modified(|stand| {
            let since = stand.shut.take();
            stand.before += since.map_or(Duration::ZERO, |since| since.elapsed());
            since.is_some()
        });
    }

    /// Lets them go on, for good: the process is to end, and they are to finish.
    pub fn release(&self) {
        self.0.send_modify(|stand| stand.released = true);
        self.open();
    }
}
