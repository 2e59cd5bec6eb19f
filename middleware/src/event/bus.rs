use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast::{self, error::RecvError};

use super::counts::Counts;
use super::happening::Event;
use super::watched::{Full, Watch, Watched};
use crate::upload::UploadKey;

/// Events that a subscriber may be behind by.
const BEHIND_MAX: usize = 1_024;

/// Where events are told; a handle.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    /// Made for the first subscriber: most layers have none.
    all: OnceLock<broadcast::Sender<Event>>,
    watched: Watched,
}

impl Events {
    /// Tells everybody.
    pub fn tell(&self, event: Event) {
        if let Event::Upload(change) = &event {
            self.0.counts.count(change.what);
        }
        if let Some(all) = self.0.all.get() {
            // Nobody may be left who subscribed.
            let _ = all.send(event);
        }
        self.0.watched.tell(event);
    }

    /// What is counted besides events.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// All events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let all = self
            .0
            .all
            .get_or_init(|| broadcast::Sender::new(BEHIND_MAX));
        Subscription(all.subscribe())
    }

    /// The events of one upload from now on, and those of all uploads.
    ///
    /// # Errors
    /// [`Full`]
    pub fn watch(&self, key: UploadKey) -> Result<Watch, Full> {
        self.0.watched.watch(key)
    }

    /// Ends the streams of an upload of which nothing more will be told.
    pub fn end(&self, key: UploadKey) {
        self.0.watched.end(key);
    }

    /// How many watch an upload now.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.0.watched.len()
    }
}

/// The events of a layer, in order, from the time on at which it was asked for; from
/// [`Uploads::subscribe`](crate::Uploads::subscribe).
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Event>);

/// Events that were lost, because their subscriber was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were lost")]
pub struct Missed(
    /// How many.
    pub u64,
);

impl Subscription {
    /// The next event; `None` when the layer is gone.
    ///
    /// # Errors
    /// [`Missed`], where that one is the first of those left.
    pub async fn next(&mut self) -> Option<Result<Event, Missed>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(count)) => Some(Err(Missed(count))),
            Err(RecvError::Closed) => None,
        }
    }
}
