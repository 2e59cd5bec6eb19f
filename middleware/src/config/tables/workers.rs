use std::thread::available_parallelism;

use crate::config::key::{Key, key};
use crate::config::kind::Count;

/// `[workers]`: how many chunks are made durable at once (seed: network resilience guide).
#[derive(Debug, Clone)]
pub struct Workers {
    /// The base number of workers (seed).
    pub numworkers: usize,
    /// Uploads whose chunks may wait for a worker (seed).
    pub uploadqueuesize: usize,
    /// The most workers there can be. Not set: four per core, and never fewer than `numworkers`.
    pub max_workers: usize,
}

impl Default for Workers {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let numworkers = 4;
        Self {
            numworkers,
            uploadqueuesize: 50,
            max_workers: (4 * cores).max(numworkers),
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    vec![
        key("workers.numworkers", Count(1..=65_536), |c| {
            &mut c.workers.numworkers
        }),
        key("workers.uploadqueuesize", Count(1..=1_000_000), |c| {
            &mut c.workers.uploadqueuesize
        }),
        key("workers.max_workers", Count(1..=65_536), |c| {
            &mut c.workers.max_workers
        }),
    ]
}
