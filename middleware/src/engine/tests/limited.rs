//! What one client may send: requests, and bytes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::rig::{CHUNK, Kind, Rig, content};
use crate::config::UploadConfig;
use crate::engine::Refusal;
use crate::upload::SessionId;
use crate::upload::tests::sample;

const SECOND: Duration = Duration::from_secs(1);
const KIB: u64 = 1 << 10;

fn limited() -> Rig {
    Rig::with(Kind::Memory, |config| {
        config.limits.requests_per_second = 1;
        config.limits.burst = 3;
    })
}

/// Uploads are one chunk, and 1 KiB a second is let through.
fn narrow() -> Rig {
    Rig::with(Kind::Memory, |config: &mut UploadConfig| {
        config.limits.bandwidth = KIB;
        config.uploads.chunk_size = 200 * KIB;
        config.uploads.max_chunk_size = 200 * KIB;
    })
}

async fn upload_of(rig: &Rig, owner: &'static str) -> SessionId {
    let declaration = sample::declaration(CHUNK);
    rig.create(declaration, owner).await.unwrap().id
}

async fn counted(rig: &Rig, id: &SessionId, requests: usize) -> usize {
    let mut counted = 0;
    for _ in 0..requests {
        counted += usize::from(rig.engine.count(id).await.is_ok());
    }
    counted
}

#[tokio::test(start_paused = true)]
async fn requests_count_for_the_owner_of_their_upload() {
    let rig = limited();
    let [one, other] = [upload_of(&rig, "alice").await, upload_of(&rig, "bob").await];
    let another = upload_of(&rig, "alice").await;
    assert_eq!(counted(&rig, &one, 5).await, 1, "two creates were");
    assert_eq!(counted(&rig, &another, 5).await, 0);
    assert_eq!(counted(&rig, &other, 5).await, 2);
    let refused = rig.create(sample::declaration(CHUNK), "alice").await;
    assert_eq!(refused.unwrap_err(), Refusal::RateLimited { wait: SECOND });
    sleep(SECOND).await;
    assert_eq!(counted(&rig, &another, 5).await, 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_nobody_is_not_counted_here() {
    let rig = limited();
    for owner in ["", "default"] {
        let id = upload_of(&rig, owner).await;
        assert_eq!(counted(&rig, &id, 9).await, 9, "{owner:?}");
    }
    assert_eq!(counted(&rig, &sample::id(99), 9).await, 9, "there is none");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_too_slow_because_it_is_paced() {
    let rig = narrow();
    let bytes = content(200 * KIB);
    let id = rig.upload(200 * KIB).await;
    let (client, request) = rig.request(&id, 0);
    let begun = Instant::now();
    client.send(&bytes[..164 << 10]);
    client.send(&bytes[164 << 10..]);
    let _here = client.finish();
    assert!(!request.await.unwrap().unwrap().duplicate);
    let took = begun.elapsed().as_secs();
    assert!((100..=102).contains(&took), "{took}: stall_timeout is 30 s");
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_in_its_turn_is() {
    let rig = narrow();
    let id = rig.upload(200 * KIB).await;
    let (client, request) = rig.request(&id, 0);
    let begun = Instant::now();
    client.send(&content(164 * KIB));
    assert_eq!(request.await.unwrap().unwrap_err(), Refusal::TooSlow);
    let took = begun.elapsed().as_secs();
    assert!((130..=132).contains(&took), "{took}");
}

/// Its connection is free for others again.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_turn_is_not_waited_for() {
    let rig = narrow();
    let id = rig.upload(200 * KIB).await;
    let (mut client, request) = rig.request(&id, 0);
    client.send(&content(164 * KIB));
    client.gave(1).await;
    let begun = Instant::now();
    client.break_off();
    assert_eq!(request.await.unwrap().unwrap_err(), Refusal::BodyIncomplete);
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_paced_request_gives_way() {
    let rig = narrow();
    let id = rig.upload(200 * KIB).await;
    let (mut client, older) = rig.request(&id, 0);
    client.send(&content(164 * KIB));
    client.gave(1).await;
    let begun = Instant::now();
    let (_newer, _request) = rig.request(&id, 0);
    assert_eq!(older.await.unwrap().unwrap_err(), Refusal::Superseded);
    assert!(begun.elapsed() < SECOND);
}
