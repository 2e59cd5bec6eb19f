//! An engine with everything around it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::faults::{Faults, FaultyBlobs, FaultyStore};
use super::handler::Handler;
use super::source::{self, Client, Feed};
use crate::admission::Origin;
use crate::blob::Local;
use crate::clock::Clock;
use crate::config::UploadConfig;
use crate::engine::{Append, Appended, Create, Created, Deliver, Engine, Gaps, Refusal, View};
use crate::store::{Disk, Memory, Peers, Store};
use crate::upload::tests::sample;
use crate::upload::{Declaration, Digest, Durability, Owner, SessionId, State, Target, Timestamp};
use crate::volume::Volume;

/// Bytes of a chunk.
pub(super) const CHUNK: u64 = 10;

/// Every kind of store, with writes on the caller's task and away from it.
pub(super) const KINDS: [Kind; 3] = [Kind::Memory, Kind::Disk, Kind::DiskBlocking];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    Disk,
    DiskBlocking,
}

pub(super) struct Rig {
    pub(super) engine: Arc<Engine>,
    pub(super) handler: Arc<Handler>,
    pub(super) faults: Arc<Faults>,
    pub(super) kind: Kind,
    config: UploadConfig,
    store: Arc<dyn Store>,
    dir: Arc<TempDir>,
    time: Time,
    next: AtomicU8,
}

/// Both clocks of the machine, in milliseconds.
#[derive(Clone)]
struct Time {
    wall: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
}

impl Time {
    fn clock(&self) -> Clock {
        let (wall, passed) = (Arc::clone(&self.wall), Arc::clone(&self.passed));
        Clock::of(
            move || Timestamp(wall.load(Ordering::Relaxed)),
            move || Duration::from_millis(passed.load(Ordering::Relaxed)),
        )
    }
}

/// What byte `at` of every test file is.
fn byte(at: u64) -> u8 {
    (at * 7 % 251) as u8
}

/// The bytes of a test file.
pub(super) fn content(total: u64) -> Vec<u8> {
    (0..total).map(byte).collect()
}

/// The bytes of chunk `number` of a test file.
pub(super) fn chunk(total: u64, number: u64) -> Vec<u8> {
    (number * CHUNK..total.min((number + 1) * CHUNK))
        .map(byte)
        .collect()
}

impl Rig {
    pub(super) fn new(kind: Kind) -> Self {
        Self::with(kind, |_| {})
    }

    /// A rig whose configuration is not quite the usual one.
    pub(super) fn with(kind: Kind, change: impl FnOnce(&mut UploadConfig)) -> Self {
        Self::among(kind, None, change)
    }

    /// The same for a server that shares its sessions with others.
    pub(super) fn among(
        kind: Kind,
        peers: Option<Arc<dyn Peers>>,
        change: impl FnOnce(&mut UploadConfig),
    ) -> Self {
        let mut config = UploadConfig::default();
        config.uploads.chunk_size = CHUNK;
        config.uploads.min_chunk_size = 5;
        config.uploads.max_chunk_size = 20;
        config.uploads.min_free_space = 0;
        change(&mut config);
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let store: Arc<dyn Store> = match kind {
            Kind::Memory => Arc::new(Memory::default()),
            Kind::Disk | Kind::DiskBlocking => Arc::new(Disk::new(
                dir.path().to_owned(),
                Volume::test(dir.path(), kind.inline_max()),
            )),
        };
        // Files have the time of this machine, so the clock begins there: a little later, as
        // files are made while it stands still.
        let begun = Timestamp::from(SystemTime::now()).after(Duration::from_secs(60));
        let time = Time {
            wall: Arc::new(AtomicU64::new(begun.0)),
            passed: Arc::default(),
        };
        Self::over(kind, config, (store, peers), dir, time)
    }

    fn over(
        kind: Kind,
        config: UploadConfig,
        (store, peers): (Arc<dyn Store>, Option<Arc<dyn Peers>>),
        dir: Arc<TempDir>,
        time: Time,
    ) -> Self {
        let faults = Arc::<Faults>::default();
        let local = Local::new(
            dir.path().to_owned(),
            Volume::test(dir.path(), kind.inline_max()),
            Durability::Power,
        );
        let blobs = FaultyBlobs {
            inner: Arc::new(local),
            faults: Arc::clone(&faults),
        };
        let faulty = FaultyStore {
            peers,
            inner: Arc::clone(&store),
            faults: Arc::clone(&faults),
        };
        let clock = time.clock();
        let shared = Arc::new(config.clone());
        let engine = Engine::new(shared, Arc::new(faulty), Arc::new(blobs), clock);
        let handler = Arc::<Handler>::default();
        Self {
            engine,
            handler,
            faults,
            kind,
            config,
            store,
            dir,
            time,
            next: AtomicU8::new(1),
        }
    }

    /// Another process over what this one left, with another configuration if need be.
    pub(super) fn again(&self, change: impl FnOnce(&mut UploadConfig)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        let (store, dir) = (Arc::clone(&self.store), Arc::clone(&self.dir));
        Self::over(self.kind, config, (store, None), dir, self.time.clone())
    }

    pub(super) fn deliver(&self) -> Arc<dyn Deliver> {
        Arc::clone(&self.handler) as Arc<dyn Deliver>
    }

    /// Lets the clock run.
    pub(super) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.time.wall.fetch_add(millis, Ordering::Relaxed);
        self.time.passed.fetch_add(millis, Ordering::Relaxed);
    }

    /// The time of day.
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp(self.time.wall.load(Ordering::Relaxed))
    }

    /// Sets the clock, while no time passes.
    pub(super) fn set_clock(&self, to: Timestamp) {
        self.time.wall.store(to.0, Ordering::Relaxed);
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub(super) async fn create(
        &self,
        declaration: Declaration,
        owner: &str,
    ) -> Result<Created, Refusal> {
        let id = sample::id(self.next.fetch_add(1, Ordering::Relaxed));
        self.create_as(id, false, declaration, owner).await
    }

    pub(super) async fn create_as(
        &self,
        id: SessionId,
        idempotent: bool,
        declaration: Declaration,
        owner: &str,
    ) -> Result<Created, Refusal> {
        let owner = Owner(owner.to_owned());
        let create = Create {
            id,
            idempotent,
            declaration,
            owner,
            signer: None,
            config: self.engine.config().now(),
        };
        self.engine.create(create, self.deliver()).await
    }

    /// A new upload of `total` bytes.
    pub(super) async fn upload(&self, total: u64) -> SessionId {
        self.create(sample::declaration(total), "")
            .await
            .unwrap()
            .id
    }

    /// An upload of which all but the last chunk are here.
    pub(super) async fn nearly(&self, total: u64) -> SessionId {
        let id = self.upload(total).await;
        for number in 0..(total - 1) / CHUNK {
            self.send(&id, number, &chunk(total, number)).await.unwrap();
        }
        id
    }

    /// Sends a whole chunk.
    pub(super) async fn send(
        &self,
        id: &SessionId,
        number: u64,
        bytes: &[u8],
    ) -> Result<Appended, Refusal> {
        let length = Some(bytes.len() as u64);
        self.append(id, number, length, &[], source::whole(bytes))
            .await
    }

    /// Sends the right bytes of a one-chunk file.
    pub(super) async fn send_only(&self, id: &SessionId) -> Result<Appended, Refusal> {
        self.send(id, 0, &content(CHUNK)).await
    }

    pub(super) async fn append(
        &self,
        id: &SessionId,
        number: u64,
        length: Option<u64>,
        digests: &[Digest],
        mut feed: Feed,
    ) -> Result<Appended, Refusal> {
        let target = Target::Chunk { number, length };
        let append = Append {
            id: id.clone(),
            target,
            digests: digests.to_vec(),
            origin: Origin::default(),
        };
        self.engine.append(&append, &mut feed, self.deliver()).await
    }

    /// A request in a task of its own, whose body the test sends.
    pub(super) fn request(&self, id: &SessionId, number: u64) -> (Client, Request) {
        let (client, mut feed) = source::body();
        let target = Target::Chunk {
            number,
            length: None,
        };
        let append = Append {
            id: id.clone(),
            target,
            digests: Vec::new(),
            origin: Origin::default(),
        };
        let (engine, deliver) = (Arc::clone(&self.engine), self.deliver());
        let request = tokio::spawn(async move { engine.append(&append, &mut feed, deliver).await });
        (client, request)
    }

    /// A request in a task of its own, whose body is all here.
    pub(super) fn whole_request(&self, id: &SessionId, number: u64, bytes: &[u8]) -> Request {
        let (client, request) = self.request(id, number);
        client.send(bytes);
        request
    }

    pub(super) async fn view(&self, id: &SessionId) -> Result<View, Refusal> {
        self.engine.status(id).await.map(|(view, _)| view)
    }

    pub(super) async fn gaps(&self, id: &SessionId) -> Gaps {
        self.engine.status(id).await.unwrap().1
    }

    pub(super) async fn state(&self, id: &SessionId) -> State {
        self.view(id).await.unwrap().state
    }

    /// Waits until an upload that is open is in that state.
    pub(super) async fn until(&self, id: &SessionId, state: State) {
        let active = self.engine.table.peek(id.key()).unwrap();
        crate::engine::claim::wait_until(&active, |inner| inner.record.state == state).await;
    }

    pub(super) async fn uploaded(&self, id: &SessionId) -> u64 {
        self.view(id).await.unwrap().uploaded
    }

    /// Waits until no attempt to hand the upload over is being made, or to be made.
    pub(super) async fn settled(&self, id: &SessionId) {
        self.engine.schedule.ended(id.key()).await;
    }

    /// Waits until an attempt was made and the next one has to wait for its time.
    pub(super) async fn until_resting(&self, id: &SessionId) {
        while self.engine.schedule.is_running(id.key()) {
            tokio::task::yield_now().await;
        }
        assert!(self.engine.schedule.knows(id.key()));
    }

    /// Closes what nobody uses now.
    pub(super) fn close_all(&self) {
        self.engine.table.close_idle(|_| true);
    }

    /// Waits until no attempt to hand the upload over is being made, though one may wait for its
    /// time.
    pub(super) async fn settled_or_resting(&self, id: &SessionId) {
        while self.engine.schedule.is_busy(id.key()) {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(super) fn log_file(&self, id: &SessionId) -> PathBuf {
        self.dir.path().join(format!("{}.log", id.key()))
    }

    pub(super) fn data_file(&self, id: &SessionId) -> PathBuf {
        self.dir.path().join(format!("{}.data", id.key()))
    }
}

/// A request that is on its way.
pub(super) type Request = JoinHandle<Result<Appended, Refusal>>;

impl Kind {
    fn inline_max(self) -> usize {
        if self == Self::DiskBlocking { 0 } else { 2 }
    }
}
