//! Whether uploads can be taken, and that asking costs next to nothing.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::faults::Point;
use super::others::Others;
use super::rig::{CHUNK, KINDS, Kind, Rig, chunk};
use crate::engine::{Condition, Disk, Refusal};
use crate::upload::tests::sample;

const LONG: Duration = Duration::from_secs(60);

const WELL: Condition = Condition {
    reachable: true,
    disk: Disk::Ready,
    ending: false,
    paused: None,
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
    let (dir, others) = (tempfile::tempdir().unwrap(), Others::new());
    let engine = others.engine(dir.path(), None).await;
    others.reachable.store(false, Ordering::Relaxed);
    let reachable = false;
    assert_eq!(engine.condition().await, Condition { reachable, ..WELL });
    let refusal = engine.status(&sample::id(1)).await.unwrap_err();
    assert_eq!(refusal, Refusal::Unreachable);
}
