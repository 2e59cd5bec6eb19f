use std::sync::Arc;
use std::time::Duration;

use crate::upload::{
    Answer, Deadlines, Failure, FileName, Header, Record, State, Timestamp, UploadKey, chunk_gaps,
};

/// How an upload stands at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// Its name in logs.
    pub key: UploadKey,
    /// How it began.
    pub header: Arc<Header>,
    /// The number of its changes so far.
    pub revision: u64,
    /// Where it stands.
    pub state: State,
    /// Whether all bytes are here and the outcome is still awaited.
    pub finishing: bool,
    /// The chunk size in force, bytes.
    pub chunk_size: u64,
    /// Received bytes.
    pub uploaded: u64,
    /// Whether it waits for the network.
    pub paused: bool,
    /// The last time something happened.
    pub last_activity: Timestamp,
    /// When it will be forgotten.
    pub expires: Timestamp,
    /// From create to the end, or to now.
    pub duration: Duration,
    /// The handler's final answer.
    pub answer: Option<Arc<Answer>>,
    /// Why the last attempt to hand over failed.
    pub failure: Option<Arc<Failure>>,
    /// The wait until the next attempt, at most.
    pub retry_after: Duration,
    /// The name store mode gave the file.
    pub stored_name: Option<FileName>,
    /// SHA-256 of the file, lower-case hex, where it is known.
    pub sha256: Option<String>,
    /// CRC-32C of the file, once it is completed.
    pub crc32c: Option<u32>,
}

impl View {
    pub(super) fn new(
        key: UploadKey,
        record: &Record,
        deadlines: &Deadlines,
        now: Timestamp,
    ) -> Self {
        Self {
            key,
            header: Arc::clone(&record.header),
            revision: record.revision,
            state: record.state,
            finishing: record.is_complete()
                && matches!(record.state, State::Receiving | State::Finishing),
            chunk_size: record.chunk_size,
            uploaded: record.ranges.bytes(),
            paused: false,
            last_activity: record.last_activity,
            expires: deadlines.expiry(record),
            duration: record.duration(now),
            answer: record.answer.clone(),
            failure: record.failure.clone(),
            retry_after: crate::upload::retry_delay(record.attempts),
            stored_name: record.stored_name.clone(),
            sha256: record.sha256.clone(),
            crc32c: record.crc32c,
        }
    }
}

/// What is missing of an upload.
#[derive(Clone, Debug)]
pub struct Gaps {
    /// Number of chunks wholly held.
    pub chunks_held: u64,
    /// Inclusive ranges of missing chunk numbers, in order.
    pub ranges: Vec<(u64, u64)>,
    /// Whether there are more ranges.
    pub truncated: bool,
}

impl Gaps {
    pub(super) fn new(record: &Record, ranges_max: usize) -> Self {
        let mut gaps = chunk_gaps(record);
        let ranges: Vec<_> = gaps.by_ref().take(ranges_max).collect();
        Self {
            chunks_held: record.ranges.len() as u64,
            ranges,
            truncated: gaps.next().is_some(),
        }
    }
}
