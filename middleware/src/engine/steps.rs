use std::time::Duration;

/// Units of work in a row.
const RUN: u64 = 64;
/// The pause after as many.
const REST: Duration = Duration::from_millis(5);
/// Entries of a log that make as much work as opening it.
const ENTRIES: u64 = 256;

/// Keeps background work from taking more than a part of one core, however much there is to do.
#[derive(Default)]
pub(super) struct Steps(u64);

impl Steps {
    /// Accounts for a log of `entries` entries, and rests when it is time.
    pub(super) async fn log(&mut self, entries: u64) {
        self.0 += 1 + entries / ENTRIES;
        if self.0 >= RUN {
            let runs = u32::try_from(self.0 / RUN).unwrap_or(u32::MAX);
            self.0 %= RUN;
            tokio::time::sleep(REST.saturating_mul(runs)).await;
        }
    }
}
