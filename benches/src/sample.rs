use std::time::Duration;

use crate::contestant::Contestant;
use crate::latency::Summary;
use crate::lineup::Lineup;

/// What one run of one contestant took.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// From the first byte sent to the last answer read.
    pub(crate) elapsed: Duration,
    /// Processor time of the server, user and system.
    pub(crate) cpu: Duration,
    /// And that of the load, which shares the cores.
    pub(crate) client_cpu: Duration,
    /// The most memory the server had resident, in bytes.
    pub(crate) peak_rss: u64,
    /// Of single acknowledgements, where they are measured.
    pub(crate) acks: Summary,
    /// What the server said that an acknowledgement means.
    pub(crate) durability: Option<String>,
}

impl Sample {
    /// Amount per second, for an `amount` done in this run.
    pub(crate) fn rate(&self, amount: f64) -> f64 {
        amount / self.elapsed.as_secs_f64()
    }

    /// Seconds of processor time for each of `amount`.
    pub(crate) fn cost(&self, amount: f64) -> f64 {
        self.cpu.as_secs_f64() / amount
    }
}

/// For each contestant of a lineup one sample of each round.
pub(crate) struct Samples {
    pub(crate) lineup: &'static Lineup,
    runs: Vec<Vec<Sample>>,
}

impl Samples {
    /// Lets all contestants take turns, `rounds` times.
    pub(crate) fn take<E>(
        lineup: &'static Lineup,
        rounds: usize,
        mut run: impl FnMut(usize, Contestant) -> Result<Sample, E>,
    ) -> Result<Self, E> {
        let mut runs = vec![Vec::new(); lineup.contestants.len()];
        for round in 1..=rounds {
            for (contestant, samples) in lineup.contestants.iter().zip(&mut runs) {
                samples.push(run(round, *contestant)?);
            }
        }
        Ok(Self { lineup, runs })
    }

    /// One contestant's.
    pub(crate) fn of(&self, contestant: Contestant) -> &[Sample] {
        let mut all = self.lineup.contestants.iter().zip(&self.runs);
        let own = all.find(|(other, _)| **other == contestant);
        own.map_or(&[], |(_, samples)| samples)
    }

    /// The reference's.
    pub(crate) fn reference(&self) -> &[Sample] {
        self.of(self.lineup.reference)
    }

    /// What the server said that an acknowledgement means.
    pub(crate) fn durability(&self, contestant: Contestant) -> Option<&str> {
        self.of(contestant).first()?.durability.as_deref()
    }
}

/// How many times as fast as the reference, in the same round; the median over the rounds.
pub(crate) fn speed_ratio(samples: &[Sample], reference: &[Sample]) -> f64 {
    ratio(samples, reference, |sample| sample.rate(1.0))
}

/// The same for servers that did not do the same number of acknowledgements.
pub(crate) fn acks_ratio(samples: &[Sample], reference: &[Sample]) -> f64 {
    ratio(samples, reference, |sample| {
        sample.rate(sample.acks.count as f64)
    })
}

/// How many times the reference's processor time, in the same round; the median over the rounds.
pub(crate) fn cpu_ratio(samples: &[Sample], reference: &[Sample]) -> f64 {
    ratio(samples, reference, |sample| sample.cost(1.0))
}

fn ratio(samples: &[Sample], reference: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let rounds = samples.iter().zip(reference);
    median(rounds.map(|(one, other)| of(one) / of(other)))
}

/// The middle value of what `of` says of each sample.
pub(crate) fn middle(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(of))
}

/// The middle value, or the mean of the two middle ones; NaN of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => f64::NAN,
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(elapsed: u64, cpu: u64) -> Sample {
        Sample {
            elapsed: Duration::from_secs(elapsed),
            cpu: Duration::from_secs(cpu),
            client_cpu: Duration::ZERO,
            peak_rss: 0,
            acks: Summary::default(),
            durability: None,
        }
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert!(median([].into_iter()).is_nan());
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let reference = [sample(1, 1), sample(10, 10), sample(2, 1)];
        let twice_as_long = [sample(2, 3), sample(20, 30), sample(4, 3)];
        assert_eq!(speed_ratio(&twice_as_long, &reference), 0.5);
        assert_eq!(cpu_ratio(&twice_as_long, &reference), 3.0);
    }
}
