use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::events::Events;
use super::gate::{By, Gate};
use super::pattern::Patterns;
use super::settle::{Settle, Turn};
use super::snapshot::Snapshot;
use crate::config;

/// Events come in showers: what follows within this time is looked at together.
const SHOWER: Duration = Duration::from_millis(50);
/// While nobody can say when to look.
const FAR: Duration = Duration::from_secs(24 * 3_600);

/// What is told of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something changed, in words.
    Detected(String),
    /// Uploads wait.
    Paused,
    /// Uploads go on.
    Resumed {
        /// The network was not quiet yet, and changes are ignored for a while.
        anyhow: bool,
    },
}

/// Watches the network and works the gate. Never ends.
pub async fn watch(config: &config::Network, gate: &Gate, mut tell: impl FnMut(Change)) {
    let patterns = Patterns::new(&config.watch, &config.ignore);
    let events = listen();
    let mut settle = Settle::new(config.settle, config.max_pause, Instant::now());
    let mut known = look(&patterns, &mut Snapshot::default()).await;
    loop {
        let due = settle.due().unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            () = next(events.as_ref()) => sleep(SHOWER).await,
            () = sleep(config.poll_interval) => {}
            () = sleep_until(due) => {}
        }
        let before = known.clone();
        known = look(&patterns, &mut known).await;
        let differences = known.since(&before);
        let now = Instant::now();
        let mut turn = None;
        if !differences.is_empty() {
            let words: Vec<_> = differences.iter().map(ToString::to_string).collect();
            tell(Change::Detected(words.join(", ")));
            turn = settle.changed(now);
        }
        if let Some(turn) = turn.or_else(|| settle.passed(now)) {
            tell(work(gate, turn));
        }
    }
}

fn work(gate: &Gate, turn: Turn) -> Change {
    match turn {
        Turn::Shuts => gate.shut(By::Network),
        Turn::Opens | Turn::OpensAnyhow => gate.open(By::Network),
    };
    match turn {
        Turn::Shuts => Change::Paused,
        Turn::Opens => Change::Resumed { anyhow: false },
        Turn::OpensAnyhow => Change::Resumed { anyhow: true },
    }
}

fn listen() -> Option<Events> {
    let warn = |error: &io::Error| {
        tracing::warn!(%error, "the system does not tell of changes of its network; it is looked at instead");
    };
    Events::listen().inspect_err(warn).ok()
}

async fn next(events: Option<&Events>) {
    match events {
        Some(events) => {
            if let Err(error) = events.next().await {
                tracing::debug!(%error, "events of the network are lost");
                sleep(SHOWER).await;
            }
        }
        None => std::future::pending().await,
    }
}

/// The network now; what was known of it where it cannot be looked at.
async fn look(patterns: &Patterns, known: &mut Snapshot) -> Snapshot {
    let patterns = patterns.clone();
    let taken = tokio::task::spawn_blocking(move || Snapshot::take(&patterns)).await;
    match taken {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the interfaces cannot be looked at");
            std::mem::take(known)
        }
        Err(_) => std::mem::take(known),
    }
}
