use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads of this process, user and system. `/proc` counts it in ticks of
/// 10 ms, which is too coarse for a run of half a second.
pub(crate) fn so_far() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
