use super::{Engine, View};
use crate::upload::{State, Timestamp, UploadKey};

/// A place in the list of uploads: when one was created, and which.
pub type Place = (Timestamp, UploadKey);

impl Engine {
    /// How uploads of this server's stand, newest first, `limit` at most, of those that are older
    /// than the one at `after`; and the place of the last of them where more may follow.
    pub async fn newest(&self, after: Option<Place>, limit: usize) -> (Vec<View>, Option<Place>) {
        let places = self.known.newest(after, limit);
        let next = places.last().copied().filter(|_| places.len() == limit);
        let mut views = Vec::with_capacity(places.len());
        for (_, key) in places {
            views.extend(self.glance(key).await);
        }
        (views, next)
    }

    /// How an upload stands, without opening it; `None` where it is gone, or cannot be read now.
    async fn glance(&self, key: UploadKey) -> Option<View> {
        let deadlines = self.deadlines();
        let mut view = match self.table.peek(key) {
            Some(active) => View::new(key, &active.lock().record, &deadlines, deadlines.now),
            None => {
                let record = self.store.read(key).await.ok()??;
                View::new(key, &record, &deadlines, deadlines.now)
            }
        };
        view.paused = self.is_paused(view.state);
        (view.expires > deadlines.now).then_some(view)
    }

    /// Whether an upload in this state waits for the gate.
    pub(super) fn is_paused(&self, state: State) -> bool {
        state == State::Receiving && !self.gate.is_open()
    }
}
