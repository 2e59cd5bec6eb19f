//! Which opening of an upload's log is the newest: the only one that may write.
//!
//! 1. An opening is as old as the call that asked for it. One that nobody waits for any more and
//!    that comes late shuts out nobody.
//! 2. An opening begins to read when what earlier ones were adding is added, and they add no more.
//! 3. Nothing is kept of an upload that nobody has open.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::StoreError;
use crate::upload::UploadKey;

/// The newest openings of all uploads of one store.
#[derive(Clone, Default)]
pub(super) struct Fence(Arc<Table>);

#[derive(Default)]
struct Table {
    /// What was asked for so far.
    asked: AtomicU64,
    gates: Mutex<HashMap<UploadKey, Weak<Gate>>>,
}

/// What the openings of one upload share.
struct Gate {
    key: UploadKey,
    table: Arc<Table>,
    /// The newest opening; held while one writes.
    newest: Mutex<u64>,
}

/// An opening that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Opening(u64);

/// What an open log needs to write.
pub(super) struct Pass {
    gate: Arc<Gate>,
    opening: u64,
}

impl Fence {
    /// Takes note that an opening is asked for, now.
    pub(super) fn ask(&self) -> Opening {
        Opening(self.0.asked.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Shuts out the openings that were asked for earlier. Behind this the log may be read.
    pub(super) fn enter(&self, key: UploadKey, Opening(opening): Opening) -> Pass {
        let gate = self.gate(key);
        {
            let mut newest = gate.lock();
            *newest = opening.max(*newest);
        }
        Pass { gate, opening }
    }

    /// Runs `work`, which removes an upload, behind all its openings.
    pub(super) fn shut<T>(&self, key: UploadKey, work: impl FnOnce() -> T) -> T {
        let gate = self.gate(key);
        let mut newest = gate.lock();
        *newest = self.ask().0;
        work()
    }

    fn gate(&self, key: UploadKey) -> Arc<Gate> {
        let mut gates = self.0.lock();
        if let Some(gate) = gates.get(&key).and_then(Weak::upgrade) {
            return gate;
        }
        let gate = Arc::new(Gate {
            key,
            table: Arc::clone(&self.0),
            newest: Mutex::default(),
        });
        gates.insert(key, Arc::downgrade(&gate));
        gate
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").finish_non_exhaustive()
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadKey, Weak<Gate>>> {
        // No code that holds the lock can leave a half-made change behind.
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, u64> {
        // A number is never half written.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut gates = self.table.lock();
        // Another may have come in its place.
        let gone = |gate: &Weak<Self>| gate.strong_count() == 0;
        if gates.get(&self.key).is_some_and(gone) {
            gates.remove(&self.key);
        }
    }
}

impl Pass {
    /// Runs `work`, which writes, unless the log was opened again. While it runs nobody can.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Conflict`] where it was not run.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let newest = self.gate.lock();
        if *newest != self.opening {
            return Err(StoreError::Conflict);
        }
        work()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::upload::tests::sample::key;

    fn writes(pass: &Pass) -> bool {
        match pass.write(|| Ok(())) {
            Ok(()) => true,
            Err(StoreError::Conflict) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn only_the_newest_opening_writes_whatever_order_they_end_in() {
        let fence = Fence::default();
        let open = || fence.enter(key(1), fence.ask());
        let old = open();
        assert!(writes(&old));
        let new = open();
        assert_eq!((writes(&old), writes(&new)), (false, true));
        drop(new);
        assert!(
            !writes(&old),
            "it is not the newest because the newest left"
        );
        let newer = open();
        drop(old);
        assert!(writes(&newer), "who leaves late takes nothing along");
    }

    #[test]
    fn an_opening_that_comes_late_shuts_out_nobody() {
        let fence = Fence::default();
        let (early, late) = (fence.ask(), fence.ask());
        let newest = fence.enter(key(1), late);
        let oldest = fence.enter(key(1), early);
        assert_eq!((writes(&oldest), writes(&newest)), (false, true));
    }

    #[test]
    fn a_removal_shuts_out_all_openings() {
        let fence = Fence::default();
        let old = fence.enter(key(1), fence.ask());
        let other = fence.enter(key(2), fence.ask());
        let on_its_way = fence.ask();
        fence.shut(key(1), || ());
        let late = fence.enter(key(1), on_its_way);
        let new = fence.enter(key(1), fence.ask());
        assert_eq!((writes(&old), writes(&late)), (false, false));
        assert_eq!((writes(&new), writes(&other)), (true, true));
    }

    #[test]
    fn nothing_is_kept_of_uploads_that_nobody_has_open() {
        let fence = Fence::default();
        for number in 1..=3 {
            drop(fence.enter(key(number), fence.ask()));
            fence.shut(key(number), || ());
        }
        assert_eq!(fence.len(), 0);
        let passes = [1, 1, 2].map(|number| fence.enter(key(number), fence.ask()));
        fence.shut(key(1), || ());
        assert_eq!(fence.len(), 2);
        drop(passes);
        assert_eq!(fence.len(), 0);
    }

    #[test]
    fn openings_of_many_threads_leave_nothing_behind() {
        let fence = Fence::default();
        let written = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let pass = fence.enter(key(1), fence.ask());
                        // Fails where two write at the same time.
                        let _ = pass.write(|| {
                            *written.try_lock().unwrap() += 1;
                            Ok(())
                        });
                    }
                });
            }
        });
        assert_eq!(fence.len(), 0);
        assert!(*written.lock().unwrap() > 0);
    }
}
