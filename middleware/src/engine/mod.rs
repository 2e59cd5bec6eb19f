//! The verbs: create, append, status, finish, cancel. Here is decided what happens before what;
//! what an upload may do is decided in [`crate::upload`], where its log and bytes are in
//! [`crate::store`] and [`crate::blob`].
//!
//! The order of effects, which nothing here may change:
//!
//! 1. Bytes are written before the entry that claims them, and both are flushed before the answer,
//!    where the upload is to survive a power cut.
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
mod known;
mod latch;
mod limited;
mod listing;
mod paced;
mod prove;
mod readiness;
mod receive;
mod recover;
mod redeliver;
mod schedule;
mod share;
mod status;
mod steps;
mod sweep;
mod table;
mod turns;
mod verify;
mod view;
mod watching;
mod witness;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use command::{Append, Appended, Create, Created, Refusal, Source, SourceError};
pub use deliver::{Damage, Deliver, Delivered, Delivery};
pub use listing::Place;
pub use readiness::{Condition, Disk};
pub use redeliver::Redelivery;
pub use view::{Gaps, View};

use crate::admission::{Bandwidth, Budget, Figures, Limits, Queue, Rate, Rates};
use crate::blob::Blobs;
use crate::clock::Clock;
use crate::config::{Live, UploadConfig};
use crate::event::Events;
use crate::network::Gate;
use crate::store::Store;
use crate::upload::Deadlines;

/// Everything the verbs need.
pub struct Engine {
    /// Itself, for tasks of its own.
    me: Weak<Self>,
    config: Live<UploadConfig>,
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    clock: Clock,
    budget: Budget,
    /// Chunks that wait to be made durable.
    queue: Queue,
    /// What one client may send.
    rates: Rates,
    bandwidth: Bandwidth,
    table: table::Table,
    /// Work that goes on when its request has ended.
    tasks: TaskTracker,
    known: Arc<known::Known>,
    witness: witness::Witness,
    scanned: Mutex<Option<recover::Scanned>>,
    /// Uploads that were found to be lost.
    lost: AtomicU64,
    /// Had by whoever makes an upload, or removes one that may be made anew.
    creates: turns::Turns,
    /// Had by whoever counts what an owner takes on all servers.
    owners: turns::Turns,
    /// Whether the logs were read, and the news of other servers was followed, in this process.
    recovered: AtomicBool,
    follows: AtomicBool,
    schedule: schedule::Schedule,
    /// To whom uploads are handed over that no client asks for.
    background: OnceLock<Weak<dyn Deliver>>,
    /// Bounds the attempts at once, with all they read and keep open.
    deliveries: Arc<Semaphore>,
    /// The process was asked to end.
    ending: CancellationToken,
    /// No hand-off is begun: the process was asked to end, or the disk has failed.
    draining: CancellationToken,
    latch: Arc<latch::Latch>,
    /// Shut while the network changes, or an operator wants it.
    gate: Gate,
    space: readiness::Space,
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
        let ending = CancellationToken::new();
        let draining = ending.child_token();
        let latch = Arc::new(latch::Latch::new(draining.clone()));
        let (events, known) = (Events::default(), Arc::<known::Known>::default());
        let budget = match store.peers().and_then(|_| share::bound(&config)) {
            Some(_) => Budget::watched(),
            None => Budget::default(),
        };
        let employer = Arc::clone(&blobs);
        let queue = Queue::new(Limits::of(&config), move |workers| employer.employ(workers));
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            schedule: schedule::Schedule::default(),
            rates: Rates::new(Rate::of(&config.limits)),
            bandwidth: Bandwidth::new(config.limits.bandwidth),
            deliveries: Arc::new(Semaphore::new(config.delivery.max_concurrent)),
            config: Live::new(config),
            store,
            blobs,
            clock,
            budget,
            witness: witness::Witness::new(events.clone(), Arc::clone(&known)),
            known,
            queue,
            scanned: Mutex::default(),
            lost: AtomicU64::new(0),
            creates: turns::Turns::default(),
            owners: turns::Turns::default(),
            recovered: AtomicBool::new(false),
            follows: AtomicBool::new(false),
            table: table::Table::default(),
            background: OnceLock::new(),
            tasks: TaskTracker::new(),
            ending,
            draining,
            latch,
            gate: Gate::new(events),
            space: readiness::Space::default(),
        })
    }

    /// What shuts while the network changes, or by hand: requests that bring bytes wait then.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Where it is told what happens.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.witness.events
    }

    /// The configuration, which [`Engine::configure`] replaces.
    #[must_use]
    pub fn config(&self) -> &Live<UploadConfig> {
        &self.config
    }

    /// From now on `config` is in force, for whatever reads it next.
    pub fn configure(&self, config: Arc<UploadConfig>) {
        self.bound_deliveries(config.delivery.max_concurrent);
        self.queue.limit(Limits::of(&config));
        self.rates.limit(Rate::of(&config.limits));
        self.bandwidth.limit(config.limits.bandwidth);
        self.config.replace(config);
        // What is kept may have to go sooner, and what is held may be handed over.
        self.known.look_at_all();
        for active in self.table.all() {
            let is_due = self.is_due(&active.lock().record);
            if is_due {
                self.offer_due(active.key);
            }
        }
    }

    /// How it is with the workers and their queue.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.queue.figures()
    }

    /// Lets workers go that are not needed any more, while no chunk comes.
    pub fn adjust_workers(&self) {
        self.queue.adjust();
    }

    #[cfg(test)]
    /// Whether the disk failed: nothing more is taken then.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.latch.is_shut()
    }

    /// Starts no more hand-offs and waits for the running ones, and for chunks whose last byte
    /// has arrived; notes what the next process need not check.
    pub async fn drain(&self) {
        self.ending.cancel();
        self.gate.release();
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
        for active in self.table.all() {
            active.mark().await;
        }
    }

    fn deadlines(&self) -> Deadlines {
        let config = self.config.now();
        let uploads = &config.uploads;
        let clock = self.clock.read();
        Deadlines {
            now: clock.now,
            since: clock.since,
            unfinished: uploads.max_resumable_age,
            first_byte: uploads.first_byte_timeout,
            finished: uploads.result_retention,
        }
    }
}

#[cfg(test)]
mod tests;
