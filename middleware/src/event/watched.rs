use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::{self, error::RecvError};

use super::bus::Missed;
use super::happening::Event;
use crate::upload::UploadKey;

/// Streams there may be of all uploads.
const STREAMS_MAX: usize = 1_000;
/// Streams there may be of one upload.
const OF_ONE_MAX: usize = 4;
/// Events that a stream may be behind by.
const BEHIND_MAX: usize = 64;

/// The uploads somebody watches.
#[derive(Debug, Default)]
pub(super) struct Watched {
    uploads: Arc<Mutex<HashMap<UploadKey, broadcast::Sender<Event>>>>,
    /// Watches there are: while there are none, a chunk costs one look at this.
    count: Arc<AtomicUsize>,
}

/// Why there may be no more streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Of this upload.
    Upload,
    /// Of any.
    All,
}

/// The events of one upload; the place is free again when it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Always there until it is dropped.
    events: Option<broadcast::Receiver<Event>>,
    key: UploadKey,
    watched: Watched,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, broadcast::Sender<Event>>> {
        // No code that holds the lock can leave a half-made change behind.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, event: Event) {
        if self.len() == 0 {
            return;
        }
        let uploads = self.lock();
        // Whoever watches is counted in the map as well.
        match event {
            Event::Upload(change) => {
                if let Some(stream) = uploads.get(&change.key) {
                    let _ = stream.send(event);
                }
            }
            Event::Paused | Event::Resumed => {
                for stream in uploads.values() {
                    let _ = stream.send(event);
                }
            }
        }
    }

    /// Who watches takes what was told before, and then nothing more.
    pub(super) fn end(&self, key: UploadKey) {
        self.lock().remove(&key);
    }

    pub(super) fn watch(&self, key: UploadKey) -> Result<Watch, Full> {
        let mut uploads = self.lock();
        if self.len() >= STREAMS_MAX {
            return Err(Full::All);
        }
        let stream = uploads
            .entry(key)
            .or_insert_with(|| broadcast::Sender::new(BEHIND_MAX));
        if stream.receiver_count() >= OF_ONE_MAX {
            return Err(Full::Upload);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(Watch {
            events: Some(stream.subscribe()),
            key,
            watched: Self {
                uploads: Arc::clone(&self.uploads),
                count: Arc::clone(&self.count),
            },
        })
    }
}

impl Watch {
    /// The next event; `None` when nothing more is told of the upload.
    ///
    /// # Errors
    /// [`Missed`], where some were not taken in time.
    pub async fn next(&mut self) -> Option<Result<Event, Missed>> {
        match self.events.as_mut()?.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(count)) => Some(Err(Missed(count))),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut uploads = self.watched.lock();
        self.events = None;
        self.watched.count.fetch_sub(1, Ordering::Relaxed);
        if uploads
            .get(&self.key)
            .is_some_and(|s| s.receiver_count() == 0)
        {
            uploads.remove(&self.key);
        }
    }
}
