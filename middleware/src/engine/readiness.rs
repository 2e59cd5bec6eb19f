//! Whether this server can take uploads now, for whoever sends it clients.
//!
//! Anybody may ask, as often as they like. So the disk is asked by one task at a time, and not again
//! within a second: a disk that hangs costs one blocking thread, however many wait for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Engine;
use crate::admission;
use crate::blob::Blobs;
use crate::network::By;
use crate::store::Peers;

/// The longest wait for the disk: less than the second that Kubernetes gives a probe by default.
const PATIENCE: Duration = Duration::from_millis(750);

/// What the disk said holds so long.
const FRESH: Duration = Duration::from_secs(1);

/// What an upload needs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether what the servers share can be reached.
    pub reachable: bool,
    /// How it is with the disk.
    pub disk: Disk,
    /// Whether the process was asked to end.
    pub ending: bool,
    /// Who has uploads wait.
    pub paused: Option<By>,
}

/// How it is with the disk that keeps unfinished uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It keeps what it is given, and there is room.
    Ready,
    /// A write or a flush has failed.
    Failed,
    /// What is free is all to stay free.
    Short,
    /// It does not say what is free.
    Unknown,
    /// It does not answer in time.
    Silent,
}

/// What the disk said last.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Locked while the disk is asked.
    seen: Arc<Mutex<Option<(Instant, Disk)>>>,
    is_silent: AtomicBool,
}

impl Space {
    async fn disk(&self, blobs: &Arc<dyn Blobs>, keep_free: u64) -> Disk {
        let disk = timeout(PATIENCE, self.ask(blobs, keep_free)).await;
        let is_silent = disk.is_err();
        if self.is_silent.swap(is_silent, Ordering::Relaxed) != is_silent {
            match is_silent {
                true => tracing::warn!(waited = ?PATIENCE, "not ready: the disk does not answer"),
                false => tracing::info!("the disk answers again"),
            }
        }
        disk.unwrap_or(Disk::Silent)
    }

    async fn ask(&self, blobs: &Arc<dyn Blobs>, keep_free: u64) -> Disk {
        let mut seen = Arc::clone(&self.seen).lock_owned().await;
        if let Some((_, disk)) = seen.filter(|(at, _)| at.elapsed() < FRESH) {
            return disk;
        }
        let blobs = Arc::clone(blobs);
        // Whoever asks may leave before the disk answers, and the next one must not ask it as well.
        let asked = tokio::spawn(async move {
            let before = seen.map_or(Disk::Ready, |(_, disk)| disk);
            let disk = look(blobs.as_ref(), keep_free, before).await;
            *seen = Some((Instant::now(), disk));
            disk
        });
        asked.await.unwrap_or(Disk::Unknown)
    }
}

/// Asks the disk, and logs what has changed.
async fn look(blobs: &dyn Blobs, keep_free: u64, before: Disk) -> Disk {
    let free = blobs.free_space().await;
    let disk = match free {
        Ok(Some(free)) if admission::usable(free, keep_free) == 0 => Disk::Short,
        Ok(_) => Disk::Ready,
        Err(_) => Disk::Unknown,
    };
    if disk == before {
        return disk;
    }
    match free {
        Err(error) => tracing::warn!(%error, "not ready: free space is not known"),
        Ok(free) if disk == Disk::Short => {
            tracing::warn!(
                free,
                min_free_space = keep_free,
                "not ready: free space is short"
            );
        }
        Ok(_) => tracing::info!("there is free space again"),
    }
    disk
}

impl Engine {
    /// Whether uploads can be taken, within a second.
    pub async fn condition(&self) -> Condition {
        let disk = self.disk().await;
        Condition {
            reachable: self.check_reachable().is_ok(),
            disk,
            ending: self.ending.is_cancelled(),
            paused: By::ALL.into_iter().rfind(|by| self.gate.is_shut_by(*by)),
        }
    }

    async fn disk(&self) -> Disk {
        if self.latch.is_shut() {
            return Disk::Failed;
        }
        let keep_free = self.config.now().uploads.min_free_space;
        self.space.disk(&self.blobs, keep_free).await
    }

    /// Whether what the servers share can be reached; `None` where there are no others.
    pub fn reaches_peers(&self) -> Option<bool> {
        self.store.peers().map(Peers::is_reachable)
    }

    /// Whether there are other servers that share their sessions with this one.
    pub fn has_peers(&self) -> bool {
        self.store.peers().is_some()
    }
}
