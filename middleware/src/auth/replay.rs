use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ahead::Ahead;
use super::message::{Nonce, Window};
use super::{Denied, message};
use crate::upload::Timestamp;

/// Nonces that are remembered at least before it is looked for those that may be forgotten.
const PRUNE_MIN: usize = 4_096;
/// Most nonces that are remembered: some 50 MiB. Only who has a key can add one.
const NONCES_MAX: usize = 1_000_000;
/// How long a disk may take to keep one.
const NOTE_WITHIN: Duration = Duration::from_secs(10);

/// The nonces that were used on this server, as long as their signatures could be used again.
///
/// What was used before it began, and what was used and is forgotten, it does not know: a
/// signature that is older than what it knows does not pass, whatever `max_skew` is since. Those of
/// clients whose clocks are ahead are newer than the next start: they are kept in a file.
#[derive(Debug)]
pub struct Replay {
    memory: Arc<Mutex<Memory>>,
    /// Had by whoever writes: a disk that hangs costs one blocking thread, however many wait for it.
    ahead: Arc<tokio::sync::Mutex<Ahead>>,
}

#[derive(Debug)]
struct Memory {
    /// When they were made, in seconds since 1970.
    used: HashMap<[u8; 16], u64>,
    /// Every nonce of a signature that was made then or later is known.
    horizon: u64,
    /// How many there are when it is looked for those to forget.
    prune_at: usize,
}

impl Replay {
    /// Nothing was used since `began`, but what a file in `dir` says.
    ///
    /// # Errors
    /// Those of that file.
    pub fn open(dir: &Path, began: Timestamp) -> io::Result<Self> {
        let horizon = began.0.div_ceil(1_000);
        let (ahead, used) = Ahead::open(&dir.join("ahead"), horizon)?;
        let memory = Memory {
            used,
            horizon,
            prune_at: PRUNE_MIN,
        };
        Ok(Self {
            memory: Arc::new(Mutex::new(memory)),
            ahead: Arc::new(tokio::sync::Mutex::new(ahead)),
        })
    }

    /// Uses a nonce up. `is_alone`: nobody else knows what was used.
    ///
    /// # Errors
    /// [`Denied::Replayed`], [`Denied::Early`], or [`Denied::Unknowable`] when there are more than
    /// can be remembered, or the disk does not take one that it has to.
    pub async fn spend(&self, nonce: Nonce, window: Window, is_alone: bool) -> Result<(), Denied> {
        let now = window.now.0 / 1_000;
        lock(&self.memory).spend(nonce, now, window, is_alone)?;
        if nonce.created <= now {
            return Ok(());
        }
        // It is used up already: whoever asks again meanwhile is refused.
        let noted = tokio::time::timeout(NOTE_WITHIN, self.note(nonce, now)).await;
        let noted = noted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        noted.map_err(|error| {
            tracing::error!(%error, "it cannot be kept which signatures were used");
            Denied::Unknowable
        })
    }

    async fn note(&self, nonce: Nonce, now: u64) -> io::Result<()> {
        let memory = Arc::clone(&self.memory);
        let mut ahead = Arc::clone(&self.ahead).lock_owned().await;
        let noting = tokio::task::spawn_blocking(move || {
            ahead.note(nonce)?;
            if ahead.is_long() {
                let used = lock(&memory).since(now);
                ahead.shorten(&used);
            }
            Ok(())
        });
        noting.await.map_err(io::Error::other)?
    }
}

/// No code that holds the lock can leave a half-made change behind.
fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn check_known(&mut self, nonce: Nonce, now: u64, window: Window) -> Result<(), Denied> {
        if self.horizon > now + 1 {
            // The clock was set back, and what was used by the later time may be forgotten.
            self.horizon = now + 1;
        }
        message::not_before(nonce, self.horizon, window)
    }

    fn spend(
        &mut self,
        nonce: Nonce,
        now: u64,
        window: Window,
        is_alone: bool,
    ) -> Result<(), Denied> {
        if is_alone {
            self.check_known(nonce, now, window)?;
        }
        let horizon = now.saturating_sub(window.max_skew.as_secs());
        // Within a second there is nothing new to be forgotten.
        if self.used.len() >= self.prune_at && horizon > self.horizon {
            self.prune(horizon);
        }
        if self.used.len() >= NONCES_MAX {
            return Err(Denied::Unknowable);
        }
        let Entry::Vacant(entry) = self.used.entry(nonce.print) else {
            return Err(Denied::Replayed);
        };
        entry.insert(nonce.created);
        Ok(())
    }

    /// Those that were made at `from` or later.
    fn since(&self, from: u64) -> HashMap<[u8; 16], u64> {
        let used = self.used.iter().filter(|(_, created)| **created >= from);
        used.map(|(print, created)| (*print, *created)).collect()
    }

    /// Forgets those whose signatures pass no more.
    fn prune(&mut self, horizon: u64) {
        self.horizon = self.horizon.max(horizon);
        let horizon = self.horizon;
        self.used.retain(|_, created| *created >= horizon);
        self.prune_at = (2 * self.used.len()).clamp(PRUNE_MIN, NONCES_MAX);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    const START: u64 = 1_000_000;

    struct Rig {
        replay: Replay,
        dir: tempfile::TempDir,
        runtime: Runtime,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let replay = Replay::open(dir.path(), Timestamp(START * 1_000)).unwrap();
            let runtime = Builder::new_current_thread().enable_time().build();
            let runtime = runtime.unwrap();
            Self {
                replay,
                dir,
                runtime,
            }
        }

        /// The process dies, and another one begins.
        fn again(self, now: u64) -> Self {
            let replay = Replay::open(self.dir.path(), Timestamp(now * 1_000)).unwrap();
            Self { replay, ..self }
        }

        fn spend(&self, nonce: Nonce, window: Window) -> Result<(), Denied> {
            self.runtime
                .block_on(self.replay.spend(nonce, window, true))
        }

        /// As where others have a say.
        fn spend_among_others(&self, nonce: Nonce, window: Window) -> Result<(), Denied> {
            self.runtime
                .block_on(self.replay.spend(nonce, window, false))
        }
    }

    fn window(now: u64, max_skew: u64) -> Window {
        Window {
            now: Timestamp(now * 1_000),
            max_skew: Duration::from_secs(max_skew),
        }
    }

    fn nonce(number: u64, created: u64) -> Nonce {
        let mut print = [0; 16];
        print[..8].copy_from_slice(&number.to_le_bytes());
        Nonce { print, created }
    }

    #[test]
    fn a_nonce_is_used_once() {
        let replay = Rig::new();
        let now = START + 10;
        replay.spend(nonce(1, now), window(now, 300)).unwrap();
        replay.spend(nonce(2, now), window(now, 300)).unwrap();
        for later in [0, 1, 300] {
            let again = replay.spend(nonce(1, now), window(now + later, 300));
            assert_eq!(again, Err(Denied::Replayed), "{later}");
        }
    }

    /// An earlier process may have taken it.
    #[test]
    fn what_was_signed_before_the_start_does_not_pass() {
        let replay = Rig::new();
        let now = START + 10;
        let early = replay.spend(nonce(1, START - 1), window(now, 300));
        let denied = Denied::Early {
            now: Timestamp(now * 1_000),
            seconds: 1,
        };
        assert_eq!(early, Err(denied));
        replay.spend(nonce(1, START), window(now, 300)).unwrap();
        // Within a second nobody can tell what was before.
        let mut rig = Rig::new();
        rig.replay = Replay::open(rig.dir.path(), Timestamp(START * 1_000 + 1)).unwrap();
        let spend = |created| rig.spend(nonce(1, created), window(START, 300));
        spend(START).unwrap_err();
        spend(START + 1).unwrap();
    }

    /// A clock that is ahead makes signatures that are newer than the next start.
    #[test]
    fn what_was_signed_ahead_does_not_pass_after_a_restart() {
        let rig = Rig::new();
        let now = START + 10;
        for ahead in [nonce(1, now + 200), nonce(2, now + 100)] {
            rig.spend(ahead, window(now, 300)).unwrap();
        }
        let rig = rig.again(now + 20);
        for again in [nonce(1, now + 200), nonce(2, now + 100)] {
            let again = rig.spend(again, window(now + 20, 300));
            assert_eq!(again, Err(Denied::Replayed));
        }
        // Nobody else is kept out.
        rig.spend(nonce(3, now + 20), window(now + 20, 300))
            .unwrap();
    }

    /// Where others know it they know it better, but for what they lost.
    #[test]
    fn what_others_know_is_used_once_here_as_well() {
        let rig = Rig::new();
        let old = nonce(1, START - 100);
        rig.spend_among_others(old, window(START, 300)).unwrap();
        let again = rig.spend_among_others(old, window(START, 300));
        assert_eq!(again, Err(Denied::Replayed));
    }

    #[test]
    fn a_second_use_leaves_the_first_as_it_was() {
        let rig = Rig::new();
        let first = START + 1_000;
        rig.spend(nonce(1, first), window(first, 300)).unwrap();
        let older = rig.spend(nonce(1, first - 200), window(first, 300));
        assert_eq!(older, Err(Denied::Replayed));
        assert_eq!(lock(&rig.replay.memory).used[&nonce(1, 0).print], first);
    }

    #[test]
    fn what_passes_no_more_is_forgotten_and_does_not_pass_later_either() {
        let replay = Rig::new();
        let (first, skew) = (START + 1_000, 100);
        for number in 0..PRUNE_MIN as u64 {
            replay
                .spend(nonce(number, first), window(first, skew))
                .unwrap();
        }
        let later = first + skew + 1;
        replay
            .spend(nonce(u64::MAX, later), window(later, skew))
            .unwrap();
        assert_eq!(lock(&replay.replay.memory).used.len(), 1);
        // Somebody allows for more skew: what was forgotten could be used again.
        let again = replay.spend(nonce(1, first), window(later, 10_000));
        assert!(matches!(again, Err(Denied::Early { .. })), "{again:?}");
        let again = replay.spend(nonce(u64::MAX, later), window(later, 10_000));
        assert_eq!(again, Err(Denied::Replayed));
    }

    #[test]
    fn a_clock_that_is_set_back_opens_nothing_and_shuts_nobody_out() {
        let replay = Rig::new();
        let back = START - 50_000;
        let old = replay.spend(nonce(1, back), window(back, 300));
        assert!(
            matches!(old, Err(Denied::Early { seconds: 1, .. })),
            "{old:?}"
        );
        replay
            .spend(nonce(1, back + 1), window(back + 1, 300))
            .unwrap();
        let again = replay.spend(nonce(1, back + 1), window(back + 1, 300));
        assert_eq!(again, Err(Denied::Replayed));
    }

    #[test]
    fn when_it_is_full_nothing_passes() {
        let replay = Rig::new();
        let now = START + 10;
        for number in 0..NONCES_MAX as u64 {
            replay.spend(nonce(number, now), window(now, 300)).unwrap();
        }
        let more = nonce(u64::MAX, now);
        assert_eq!(
            replay.spend(more, window(now, 300)),
            Err(Denied::Unknowable)
        );
        let later = now + 301;
        replay
            .spend(nonce(u64::MAX, later), window(later, 300))
            .unwrap();
    }
}
