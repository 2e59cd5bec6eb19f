use std::time::Duration;

/// How long each acknowledgement took.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

/// What is told of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Latencies {
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn summary(mut self) -> Summary {
        self.0.sort_unstable();
        Summary {
            count: self.0.len() as u64,
            p50: self.rank(50),
            p99: self.rank(99),
            max: self.rank(100),
        }
    }

    /// The least value that `percent` of all do not exceed; zero of nothing.
    fn rank(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let value = self.0.get(rank.saturating_sub(1));
        value.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_few_and_many() {
        assert_eq!(Latencies::default().summary(), Summary::default());
        let latencies = Latencies((1..=200).rev().map(Duration::from_millis).collect());
        let summary = latencies.summary();
        assert_eq!(summary.count, 200);
        assert_eq!(summary.p50, Duration::from_millis(100));
        assert_eq!(summary.p99, Duration::from_millis(198));
        assert_eq!(summary.max, Duration::from_millis(200));
    }
}
