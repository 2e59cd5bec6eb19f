//! Other servers, as far as a test wants any.

use std::future::{pending, ready};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::faults::{Faults, FaultyStore};
use crate::blob::Local;
use crate::clock::Clock;
use crate::config::UploadConfig;
use crate::engine::Engine;
use crate::store::{
    Bound, BoxFuture, Cancel, Memory, News, Once, Peers, Seen, Share, Spent, Store as _,
    StoreError, Told,
};
use crate::upload::{Durability, Header, Owner, Record, UploadKey};
use crate::volume::Volume;

/// More than enough for a machine that is busy.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// What other servers say, and what they heard.
pub(super) struct Others {
    /// Whether they can be reached.
    pub(super) reachable: AtomicBool,
    /// Whether they are never done hearing what they are told.
    pub(super) deaf: AtomicBool,
    /// When the one was last there that keeps something.
    pub(super) seen: Mutex<Option<Seen>>,
    /// What one of them keeps.
    pub(super) kept: Mutex<Option<(UploadKey, Told)>>,
    /// What they say next.
    pub(super) news: UnboundedSender<News>,
    heard: AsyncMutex<UnboundedReceiver<News>>,
    /// What they were told.
    pub(super) answers: AsyncMutex<UnboundedReceiver<Heard>>,
    tells: UnboundedSender<Heard>,
}

/// What another server was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Answer(UploadKey, Cancel),
    Untold(UploadKey),
    All,
}

impl Others {
    pub(super) fn new() -> Arc<Self> {
        let (news, heard) = unbounded_channel();
        let (tells, answers) = unbounded_channel();
        Arc::new(Self {
            reachable: AtomicBool::new(true),
            deaf: AtomicBool::new(false),
            seen: Mutex::default(),
            kept: Mutex::default(),
            news,
            heard: AsyncMutex::new(heard),
            answers: AsyncMutex::new(answers),
            tells,
        })
    }

    /// An engine that shares its sessions with them, over a store with one upload. Uploads without a
    /// byte have expired at once.
    pub(super) async fn engine(
        self: &Arc<Self>,
        dir: &Path,
        upload: Option<(UploadKey, Arc<Header>)>,
    ) -> Arc<Engine> {
        let mut config = UploadConfig::default();
        config.uploads.min_free_space = 0;
        config.uploads.first_byte_timeout = Duration::ZERO;
        let local = Memory::default();
        if let Some((key, header)) = upload {
            local.create(key, header).await.unwrap();
        }
        let store = FaultyStore {
            inner: Arc::new(local),
            faults: Arc::<Faults>::default(),
            peers: Some(Arc::clone(self) as Arc<dyn Peers>),
        };
        let blobs = Local::new(dir.to_owned(), Volume::test(dir, 2), Durability::Power);
        Engine::new(
            Arc::new(config),
            Arc::new(store),
            Arc::new(blobs),
            Clock::system(),
        )
    }

    /// What is heard while an engine attends to them.
    pub(super) async fn attended<T>(engine: &Arc<Engine>, heard: impl Future<Output = T>) -> T {
        tokio::select! {
            () = engine.attend() => unreachable!("it never ends"),
            heard = timeout(HEARD_WITHIN, heard) => heard.expect("nothing was heard"),
        }
    }

    /// The next thing they are told.
    pub(super) async fn told(&self) -> Heard {
        self.answers.lock().await.recv().await.unwrap()
    }

    /// Waits for as long as they do not listen.
    async fn listen(&self) {
        if self.deaf.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    fn note(&self, heard: Heard) {
        self.tells.send(heard).unwrap();
    }
}

fn unavailable<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(ready(Err(StoreError::Unavailable)))
}

impl Peers for Others {
    fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    fn find<'a>(
        &'a self,
        key: UploadKey,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Told>, StoreError>> {
        let kept = self.kept.lock().unwrap().clone();
        let found = kept.and_then(|(kept, told)| (kept == key).then_some(told));
        Box::pin(ready(Ok(found)))
    }

    fn seen<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Seen>, StoreError>> {
        Box::pin(ready(Ok(*self.seen.lock().unwrap())))
    }

    fn tell(&self, _: UploadKey, _: &Record) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            self.listen().await;
            Ok(())
        })
    }

    fn tell_later(&self, _: UploadKey) {}

    fn spend(&self, _: Once) -> BoxFuture<'_, Result<Spent, StoreError>> {
        unavailable()
    }

    fn ask_to_cancel(&self, _: UploadKey) -> BoxFuture<'_, Result<Option<Cancel>, StoreError>> {
        unavailable()
    }

    fn answer(&self, key: UploadKey, answer: Cancel) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.note(Heard::Answer(key, answer));
            self.listen().await;
            Ok(())
        })
    }

    fn maker<'a>(
        &'a self,
        _: UploadKey,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        unavailable()
    }

    fn share(
        &self,
        _: &Owner,
        _: Share,
        _: Option<Bound>,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        unavailable()
    }

    fn untell(&self, key: UploadKey) -> BoxFuture<'_, ()> {
        self.note(Heard::Untold(key));
        Box::pin(ready(()))
    }

    fn epoch(&self) -> u64 {
        0
    }

    fn all_is_told(&self, _: u64) {
        self.note(Heard::All);
    }

    fn news(&self) -> BoxFuture<'_, News> {
        Box::pin(async { self.heard.lock().await.recv().await.unwrap() })
    }
}
