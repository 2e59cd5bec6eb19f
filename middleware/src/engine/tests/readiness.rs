//! Whether uploads can be taken, and that asking costs next to nothing.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Point;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk};
use crate::blob::Local;
use crate::clock::Clock;
use crate::config::UploadConfig;
use crate::engine::{Condition, Disk, Engine, Refusal};
use crate::store::{
    Bound, BoxFuture, Cancel, Listed, Memory, News, Opened, Peers, Share, Store, StoreError, Told,
};
use crate::upload::tests::sample;
use crate::upload::{Durability, Header, Owner, Record, UploadKey};
use crate::volume::Volume;

const LONG: Duration = Duration::from_secs(60);

const WELL: Condition = Condition {
    reachable: true,
    disk: Disk::Ready,
    ending: false,
};

#[tokio::test]
async fn a_server_that_is_well_is_ready() {
    for kind in KINDS {
        assert_eq!(Rig::new(kind).engine.condition().await, WELL);
    }
}

#[tokio::test]
async fn what_is_to_stay_free_is_not_room() {
    let rig = Rig::with(Kind::Disk, |config| config.uploads.min_free_space = 1 << 60);
    assert_eq!(rig.engine.condition().await.disk, Disk::Short);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_no_room() {
    let rig = Rig::new(Kind::Disk);
    std::fs::remove_dir_all(rig.path()).unwrap();
    assert_eq!(rig.engine.condition().await.disk, Disk::Unknown);
}

/// The process is not ending then, though it hands nothing over any more.
#[tokio::test]
async fn a_disk_that_failed_has_failed_for_good() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.nearly(2 * CHUNK).await;
    rig.faults.fail(Point::BlobFlush, ErrorKind::Other);
    let refusal = rig.send(&id, 1, &chunk(2 * CHUNK, 1)).await.unwrap_err();
    assert_eq!(refusal, Refusal::Unavailable);
    let disk = Disk::Failed;
    assert_eq!(rig.engine.condition().await, Condition { disk, ..WELL });
    rig.engine.drain().await;
    assert!(rig.engine.condition().await.ending);
}

/// What still runs may take its time: nobody new is sent here meanwhile.
#[tokio::test]
async fn a_server_that_ends_is_not_ready_from_the_first_moment() {
    let rig = Rig::new(Kind::Disk);
    let id = rig.upload(CHUNK).await;
    let answer = rig.handler.will_wait();
    let request = rig.whole_request(&id, 0, &chunk(CHUNK, 0));
    rig.handler.called(1).await;
    let drain = tokio::spawn({
        let engine = Arc::clone(&rig.engine);
        async move { engine.drain().await }
    });
    while !rig.engine.condition().await.ending {
        tokio::task::yield_now().await;
    }
    assert!(!drain.is_finished());
    answer.send(200).unwrap();
    request.await.unwrap().unwrap();
    drain.await.unwrap();
    let ending = true;
    assert_eq!(rig.engine.condition().await, Condition { ending, ..WELL });
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_asked_once_and_holds_nobody_up() {
    let rig = Rig::new(Kind::Disk);
    assert_eq!(rig.engine.condition().await, WELL);
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.faults.free_space.shut();
    let begun = tokio::time::Instant::now();
    let mut probes = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let engine = Arc::clone(&rig.engine);
        probes.spawn(async move { engine.condition().await.disk });
    }
    let found = probes.join_all().await;
    assert!(found.iter().all(|disk| *disk == Disk::Silent));
    assert!(begun.elapsed() < Duration::from_secs(1));
    rig.faults.free_space.holds(1).await;
    assert_eq!(rig.engine.condition().await.disk, Disk::Silent);
    let second = tokio::time::timeout(LONG, rig.faults.free_space.holds(2)).await;
    assert!(second.is_err(), "one task waits for the disk");
    rig.faults.free_space.open();
    assert_eq!(rig.engine.condition().await, WELL);
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_asked_once_a_second() {
    let rig = Rig::new(Kind::Disk);
    assert_eq!(rig.engine.condition().await, WELL);
    rig.faults.free_space.shut();
    for _ in 0..100 {
        assert_eq!(rig.engine.condition().await, WELL);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.engine.condition().await.disk, Disk::Silent);
}

/// And it is right: what is begun then is refused.
#[tokio::test]
async fn a_server_cut_off_from_the_others_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = UploadConfig::default();
    config.uploads.min_free_space = 0;
    let volume = Volume::test(dir.path(), 2);
    let blobs = Local::new(dir.path().to_owned(), volume, Durability::Power);
    let engine = Engine::new(
        Arc::new(config),
        Arc::new(CutOff::default()),
        Arc::new(blobs),
        Clock::system(),
    );
    let reachable = false;
    assert_eq!(engine.condition().await, Condition { reachable, ..WELL });
    let refusal = engine.status(sample::key(1)).await.unwrap_err();
    assert_eq!(refusal, Refusal::Unreachable);
}

/// A store whose other servers cannot be reached.
#[derive(Default)]
struct CutOff(Memory);

impl Store for CutOff {
    fn create(&self, key: UploadKey, header: Arc<Header>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.create(key, header)
    }

    fn read(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.0.read(key)
    }

    fn open(&self, key: UploadKey) -> BoxFuture<'_, Result<Option<Opened>, StoreError>> {
        self.0.open(key)
    }

    fn remove(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.remove(key)
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, StoreError>> {
        self.0.list()
    }

    fn delivering(&self) -> BoxFuture<'_, Result<Vec<UploadKey>, StoreError>> {
        self.0.delivering()
    }

    fn delivered(&self, key: UploadKey) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.delivered(key)
    }

    fn peers(&self) -> Option<&dyn Peers> {
        Some(self)
    }
}

fn unavailable<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(async { Err(StoreError::Unavailable) })
}

impl Peers for CutOff {
    fn is_reachable(&self) -> bool {
        false
    }

    fn find(&self, _: UploadKey) -> BoxFuture<'_, Result<Option<Told>, StoreError>> {
        unavailable()
    }

    fn tell(&self, _: UploadKey, _: &Record) -> BoxFuture<'_, Result<(), StoreError>> {
        unavailable()
    }

    fn ask_to_cancel(&self, _: UploadKey) -> BoxFuture<'_, Result<Option<Cancel>, StoreError>> {
        unavailable()
    }

    fn answer(&self, _: UploadKey, _: Cancel) -> BoxFuture<'_, Result<(), StoreError>> {
        unavailable()
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

    fn untell(&self, _: UploadKey) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn epoch(&self) -> u64 {
        0
    }

    fn all_is_told(&self, _: u64) {}

    fn news(&self) -> BoxFuture<'_, News> {
        Box::pin(std::future::pending())
    }
}
