use std::time::Duration;

use super::{Record, Span, State, Timestamp};

/// First wait before a hand-off is tried again; doubles up to [`RETRY_DELAY_MAX`].
const RETRY_DELAY_FIRST: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// Number of chunks of a file of `total` bytes.
#[must_use]
pub fn total_chunks(total: u64, chunk_size: u64) -> u64 {
    total.div_ceil(chunk_size)
}

/// The bytes of chunk `number`, `None` behind the last chunk.
#[must_use]
pub fn chunk_span(total: u64, chunk_size: u64, number: u64) -> Option<Span> {
    if number >= total_chunks(total, chunk_size) {
        return None;
    }
    let start = number * chunk_size;
    Some(Span {
        start,
        len: chunk_size.min(total - start),
    })
}

/// Inclusive ranges of chunk numbers that are not wholly held, in order.
pub fn chunk_gaps(record: &Record) -> impl Iterator<Item = (u64, u64)> + '_ {
    let chunk_size = record.chunk_size;
    record
        .ranges
        .gaps(record.header.declaration.total)
        .map(move |gap| (gap.start / chunk_size, (gap.end() - 1) / chunk_size))
}

/// The wait before attempt `attempts + 1` of a hand-off: 1 s doubling to 5 min.
#[must_use]
pub fn retry_delay(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (RETRY_DELAY_FIRST * 2_u32.pow(doublings)).min(RETRY_DELAY_MAX)
}

/// Longest time that every upload has after the server began or the clock was set.
const GRACE: Duration = Duration::from_secs(3_600);
/// What happened this much later than now happened under a clock that was wrong.
const SKEW: Duration = Duration::from_secs(60);

/// How long an upload is kept, and how far the clock can be believed that says so.
///
/// Nothing goes because a clock jumped, or because the server was away: whatever is kept has at least
/// an hour, or the time it is kept at all where that is shorter, since the clock runs steadily.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// An unfinished upload, since its last activity.
    pub unfinished: Duration,
    /// An upload without a byte, since it was created.
    pub first_byte: Duration,
    /// A finished upload, since it ended.
    pub finished: Duration,
    /// Now.
    pub now: Timestamp,
    /// Since when this process has had a clock that runs steadily.
    pub since: Timestamp,
}

impl Deadlines {
    /// When the upload is forgotten, if nothing happens to it until then.
    #[must_use]
    pub fn expiry(&self, record: &Record) -> Timestamp {
        if let Some(ended) = record.ended {
            return self.end(ended, self.finished);
        }
        let waiting = self.end(record.last_activity, self.unfinished);
        let untouched = record.last_activity == record.header.created;
        if record.state == State::Receiving && record.ranges.is_empty() && untouched {
            return waiting.min(self.end(record.header.created, self.first_byte));
        }
        waiting
    }

    /// Whether the upload is to be forgotten.
    #[must_use]
    pub fn has_expired(&self, record: &Record) -> bool {
        self.expiry(record) <= self.now
    }

    /// When something ends that is kept for `keep` since `moment`.
    #[must_use]
    pub fn end(&self, moment: Timestamp, keep: Duration) -> Timestamp {
        let is_future = moment > self.now.after(SKEW);
        let moment = if is_future { self.since } else { moment };
        moment.after(keep).max(self.since.after(keep.min(GRACE)))
    }
}

/// What a handler's status means for the upload it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The handler has decided, for good.
    Decided,
    /// The handler is to be asked again.
    AskAgain,
}

/// Reads a handler's status: 404, 405, 408, 421, 425, 429 and 5xx ask to be asked again, all
/// others decide. A wrong route (404, 405) can be mended without the client.
#[must_use]
pub fn verdict(status: u16) -> Verdict {
    match status {
        404 | 405 | 408 | 421 | 425 | 429 | 500.. => Verdict::AskAgain,
        _ => Verdict::Decided,
    }
}
