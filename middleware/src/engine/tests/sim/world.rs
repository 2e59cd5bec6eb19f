//! What is outside of the process: the disk, the clients with their ledgers, the app.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::blob::Local;
use crate::clock::Clock;
use crate::config::{OnUnknown, UploadConfig};
use crate::engine::{Deliver, Delivered, Delivery, Engine};
use crate::saboteur;
use crate::store::{BoxFuture, Disk};
use crate::upload::tests::sample;
use crate::upload::{Durability, SessionId, Timestamp, UploadKey};
use crate::volume::Volume;
use crate::volume::sim::{Rng, SimFs};

/// Sizes of chunks: within a page, over one, over several.
const CHUNKS: [u64; 4] = [10, 300, 700, 1_500];

/// A file and what its client was told.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) number: u8,
    pub(super) id: SessionId,
    pub(super) chunk: u64,
    pub(super) total: u64,
    /// Chunks that were acknowledged, or listed as received.
    pub(super) held: BTreeSet<u64>,
    /// Chunks of which every byte was sent at least once.
    pub(super) sent: BTreeSet<u64>,
    pub(super) cancelling: bool,
    pub(super) cancelled: bool,
    /// The status the handler's answer had, as the client was told.
    pub(super) told: Option<u16>,
}

impl Upload {
    pub(super) fn chunks(&self) -> u64 {
        self.total.div_ceil(self.chunk)
    }

    /// The bytes of a chunk.
    pub(super) fn bytes(&self, chunk: u64) -> Vec<u8> {
        let end = self.total.min((chunk + 1) * self.chunk);
        (chunk * self.chunk..end).map(|at| self.byte(at)).collect()
    }

    pub(super) fn content(&self) -> Vec<u8> {
        (0..self.total).map(|at| self.byte(at)).collect()
    }

    fn byte(&self, at: u64) -> u8 {
        (at.wrapping_mul(7).wrapping_add(u64::from(self.number) * 31) % 251) as u8
    }
}

/// A call of the handler.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) key: UploadKey,
    pub(super) life: usize,
    pub(super) bytes: Vec<u8>,
    /// What it answered; nothing while it runs, or when it panicked.
    pub(super) status: Option<u16>,
}

/// The app. Answers differ from call to call, and some calls panic.
#[derive(Debug)]
pub(super) struct App {
    pub(super) calls: Mutex<Vec<Call>>,
    rng: Mutex<Rng>,
    pub(super) life: AtomicU64,
    /// Whether it takes everything from now on.
    pub(super) kind: std::sync::atomic::AtomicBool,
}

impl Deliver for Arc<App> {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Delivered> {
        let app = Arc::clone(self);
        Box::pin(async move {
            let total = usize::try_from(delivery.header.declaration.total).unwrap();
            let Ok(bytes) = delivery.blob.read(0, total).await else {
                return Delivered::Broken;
            };
            let call = Call {
                key: delivery.key,
                life: usize::try_from(app.life.load(Ordering::Relaxed)).unwrap(),
                bytes: bytes.to_vec(),
                status: None,
            };
            let index = {
                let mut calls = app.calls.lock().unwrap();
                calls.push(call);
                calls.len() - 1
            };
            let roll = app.rng.lock().unwrap().below(10);
            for _ in 0..roll % 4 {
                tokio::task::yield_now().await;
            }
            let status = match roll {
                _ if app.kind.load(Ordering::Relaxed) => 201,
                0 => 422,
                1 => 503,
                2 => return Delivered::Broken,
                _ => 201,
            };
            app.calls.lock().unwrap()[index].status = Some(status);
            Delivered::Answered {
                answer: sample::answer(status),
                sha256: None,
            }
        })
    }
}

/// Everything that outlives a process.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) fs: Arc<SimFs>,
    pub(super) app: Arc<App>,
    pub(super) uploads: Vec<Upload>,
    pub(super) config: Arc<UploadConfig>,
    pub(super) now: Arc<AtomicU64>,
    /// The lives that ended with the death of the process: all but the last.
    pub(super) crashed: BTreeSet<usize>,
    /// Uploads that may have been forgotten, and in which life.
    pub(super) expired: BTreeMap<UploadKey, usize>,
    log: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let mut config = UploadConfig::default();
        config.uploads.min_free_space = 0;
        config.uploads.min_chunk_size = 5;
        config.uploads.max_chunk_size = 2_000;
        // Cutting the power is only survived where things are flushed.
        if rng.chance(15) {
            config.uploads.durability = Durability::Process;
        }
        if rng.chance(30) {
            config.delivery.on_unknown = OnUnknown::Hold;
        }
        let app = App {
            calls: Mutex::default(),
            rng: Mutex::new(Rng(rng.next())),
            life: AtomicU64::new(0),
            kind: std::sync::atomic::AtomicBool::new(false),
        };
        let fs = SimFs::new(rng.next());
        Self {
            fs,
            app: Arc::new(app),
            uploads: Vec::new(),
            config: Arc::new(config),
            now: Arc::new(AtomicU64::new(1_000_000_000)),
            crashed: BTreeSet::new(),
            expired: BTreeMap::new(),
            log: Vec::new(),
            rng,
        }
    }

    pub(super) fn note(&mut self, step: String) {
        self.log.push(step);
    }

    /// What happened, one step a line.
    pub(super) fn steps(&self) -> String {
        self.log.join("\n")
    }

    pub(super) fn is_durable(&self) -> bool {
        self.config.uploads.durability == Durability::Power
    }

    pub(super) fn new_upload(&mut self) -> Upload {
        let number = u8::try_from(self.uploads.len() + 1).unwrap();
        let chunk = CHUNKS[self.rng.index(CHUNKS.len())];
        let upload = Upload {
            number,
            id: sample::id(number),
            chunk,
            total: 1 + self.rng.below(chunk * 5),
            held: BTreeSet::new(),
            sent: BTreeSet::new(),
            cancelling: false,
            cancelled: false,
            told: None,
        };
        self.uploads.push(upload.clone());
        upload
    }

    /// Another process over the same disk.
    pub(super) fn engine(&self) -> Arc<Engine> {
        let files = saboteur::files(Arc::new(Arc::clone(&self.fs)));
        let volume = Volume::in_order(files);
        let dir = PathBuf::from("/state");
        let store = saboteur::store(Arc::new(Disk::new(dir.clone(), Arc::clone(&volume))));
        let blobs = Local::new(dir, volume, self.config.uploads.durability);
        let (wall, passed) = (Arc::clone(&self.now), Arc::clone(&self.now));
        let clock = Clock::of(
            move || Timestamp(wall.load(Ordering::Relaxed)),
            move || Duration::from_millis(passed.load(Ordering::Relaxed)),
        );
        Engine::new(Arc::clone(&self.config), store, Arc::new(blobs), clock)
    }

    pub(super) fn deliver(&self) -> Arc<dyn Deliver> {
        saboteur::deliver(Arc::new(Arc::clone(&self.app)))
    }

    /// Lets so much time pass that nobody has to remember an upload; it may be begun anew.
    pub(super) fn expire(&mut self) {
        self.pass(Duration::from_secs(50 * 3_600));
        let life = usize::try_from(self.app.life.load(Ordering::Relaxed)).unwrap();
        for upload in &mut self.uploads {
            upload.held.clear();
            (upload.cancelled, upload.told) = (false, None);
            self.expired.insert(upload.id.key(), life);
        }
    }

    /// Lets the clock run.
    pub(super) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        let now = self.now.fetch_add(millis, Ordering::Relaxed) + millis;
        self.fs.set_time(Duration::from_millis(now));
    }
}
