use std::time::Duration;

/// What may come at once at least, in bytes: a read from a socket brings about as much.
const BURST_MIN: u64 = 64 << 10;

const NANOS: u128 = 1_000_000_000;

/// A token bucket for bytes, which may be overdrawn: how many bytes a read brings is known afterwards.
/// It holds what comes in a second, and 64 KiB at least.
///
/// Whoever has taken something may take more when what was taken until then is paid for. So those
/// who wait have their turns one after the other, whatever time their timers take.
#[derive(Debug, Default)]
pub struct Bucket {
    /// All that was ever taken, in bytes, and all of that which is paid for.
    taken: u64,
    paid: u64,
    /// Until when it was paid for.
    at: Duration,
}

/// A place in the line before a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u64);

impl Bucket {
    /// A place behind everybody who has taken something.
    #[must_use]
    pub fn turn(&self) -> Turn {
        Turn(self.taken)
    }

    /// Takes so many bytes, whether they are there or not.
    pub fn take(&mut self, bytes: u64) -> Turn {
        self.taken = self.taken.saturating_add(bytes);
        self.turn()
    }

    /// For how long that turn has not come, at this time and this rate in bytes per second, which is
    /// not 0.
    #[must_use]
    pub fn wait(&mut self, Turn(turn): Turn, now: Duration, rate: u64) -> Duration {
        self.pay(now, rate);
        // One byte at least has to be there.
        let ahead = (turn + 1).saturating_sub(self.paid.saturating_add(rate.max(BURST_MIN)));
        time_of(ahead, rate)
    }

    /// Whether nothing is owed any more, at this time and this rate.
    #[must_use]
    pub fn is_paid(&mut self, now: Duration, rate: u64) -> bool {
        self.pay(now, rate);
        self.paid == self.taken
    }

    fn pay(&mut self, now: Duration, rate: u64) {
        let passed = now.saturating_sub(self.at).as_nanos();
        let bytes = passed.saturating_mul(rate.into()) / NANOS;
        let owed = self.taken - self.paid;
        match u64::try_from(bytes) {
            Ok(bytes) if bytes < owed => {
                self.paid += bytes;
                // What was not enough for a byte is still to come.
                self.at += time_of(bytes, rate);
            }
            _ => {
                self.paid = self.taken;
                self.at = self.at.max(now);
            }
        }
    }
}

/// How long so many bytes take, rounded up.
fn time_of(bytes: u64, rate: u64) -> Duration {
    let nanos = (u128::from(bytes) * NANOS).div_ceil(rate.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
