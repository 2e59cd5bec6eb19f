use std::sync::Arc;

use tokio::sync::watch;

/// A value that may be replaced while it is used. Whoever needs it more than once takes it once.
#[derive(Debug)]
pub(crate) struct Live<T>(watch::Sender<Arc<T>>);

impl<T> Live<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(watch::Sender::new(value))
    }

    /// The value in force.
    pub(crate) fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }

    pub(crate) fn replace(&self, value: Arc<T>) {
        self.0.send_replace(value);
    }

    /// What tells of every new value. It counts as told of the one in force.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<T>> {
        self.0.subscribe()
    }
}
