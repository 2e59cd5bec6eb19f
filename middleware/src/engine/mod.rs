//! The verbs: create, append, status, finish, cancel. Here is decided what happens before what;
//! what an upload may do is decided in [`crate::upload`], where its log and bytes are in
//! [`crate::store`] and [`crate::blob`].
//!
//! The order of effects, which nothing here may change:
//!
//! 1. Bytes are written before the entry that claims them, and the entry before the answer.
//! 2. What must happen after a chunk's last byte runs in a task of its own, because the request
//!    ends when its client leaves.
//! 3. Every entry of an upload is added under its write lock, one at a time.
//! 4. One attempt at a time hands an upload over, and a few at once do so at all; everybody else
//!    waits for it, for a bounded time and with nothing open.

mod active;
mod append;
mod attempt;
mod cancel;
mod claim;
mod command;
mod commit;
mod create;
mod deliver;
mod finish;
mod receive;
mod schedule;
mod status;
mod sweep;
mod table;
mod verify;
mod view;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use command::{Append, Appended, Create, Created, Refusal, Source, SourceError};
pub use deliver::{Damage, Deliver, Delivered, Delivery};
pub use view::{Gaps, View};

use crate::admission::Budget;
use crate::blob::Blobs;
use crate::clock::Clock;
use crate::config::UploadConfig;
use crate::store::Store;
use crate::upload::Deadlines;

/// Everything the verbs need.
pub struct Engine {
    config: Arc<UploadConfig>,
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    clock: Clock,
    budget: Budget,
    table: table::Table,
    /// Work that goes on when its request has ended.
    tasks: TaskTracker,
    /// Held while a create that may be a repeated one looks for the first.
    creates: tokio::sync::Mutex<()>,
    schedule: schedule::Schedule,
    /// Bounds the attempts at once, with all they read and keep open.
    deliveries: Arc<Semaphore>,
    draining: CancellationToken,
}

impl Engine {
    /// An engine over a store and a place for bytes.
    #[must_use]
    pub fn new(
        config: Arc<UploadConfig>,
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            schedule: schedule::Schedule::default(),
            deliveries: Arc::new(Semaphore::new(config.delivery.max_concurrent)),
            config,
            store,
            blobs,
            clock,
            budget: Budget::default(),
            creates: tokio::sync::Mutex::default(),
            table: table::Table::default(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
        })
    }

    /// What an acknowledgement survives, as clients are told: `process` (the death of the
    /// server), as long as nothing is flushed.
    #[must_use]
    pub fn durability(&self) -> &'static str {
        "process"
    }

    /// Starts no more hand-offs and waits for the running ones, and for chunks whose last byte
    /// has arrived.
    pub async fn drain(&self) {
        self.draining.cancel();
        for job in self.schedule.close() {
            let key = job.key;
            // An outcome that the log did not take has a last chance, and else is asked for again.
            if job.outcome.is_some() {
                self.attempt_once(job).await;
            }
            self.tell(key);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn deadlines(&self) -> Deadlines {
        let uploads = &self.config.uploads;
        Deadlines {
            unfinished: uploads.max_resumable_age,
            first_byte: uploads.first_byte_timeout,
            finished: uploads.result_retention,
        }
    }
}

#[cfg(test)]
mod tests;
