//! What came of a tier, and the line that says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::finding::Finding;

/// A server that was killed answers again within this time.
const RESTART_MAX: Duration = Duration::from_secs(5);

/// Findings of each kind that are printed.
const SHOWN: usize = 8;

/// What came of a tier.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Why it did not run, if so.
    pub skipped: Option<String>,
    /// Faults that struck.
    pub cycles: usize,
    /// Bytes that were acknowledged.
    pub acked_bytes: u64,
    /// Chunks that were acknowledged.
    pub acked_chunks: u64,
    /// What went wrong.
    pub found: Vec<Finding>,
    /// From the start of a process to its first answer.
    pub restarts: Vec<Duration>,
    /// Refusals by status and code.
    pub answers: BTreeMap<String, u64>,
    /// What create said about durability.
    pub durability: String,
    /// Figures of this tier alone.
    pub notes: BTreeMap<String, u64>,
    /// How long things took that only some tiers do.
    pub times: BTreeMap<String, Vec<Duration>>,
    /// Directories that were kept.
    pub places: Vec<PathBuf>,
}

impl Report {
    /// A tier that cannot run here.
    #[must_use]
    pub fn skipped(why: impl Into<String>) -> Self {
        Self {
            skipped: Some(why.into()),
            ..Self::default()
        }
    }

    /// Adds what came of a part of the tier.
    pub fn add(&mut self, other: Self) {
        self.cycles += other.cycles;
        self.acked_bytes += other.acked_bytes;
        self.acked_chunks += other.acked_chunks;
        self.found.extend(other.found);
        self.restarts.extend(other.restarts);
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        for (note, count) in other.notes {
            *self.notes.entry(note).or_default() += count;
        }
        for (what, times) in other.times {
            self.times.entry(what).or_default().extend(times);
        }
        if !other.durability.is_empty() {
            self.durability = other.durability;
        }
        self.places.extend(other.places);
    }

    /// Adds to a figure of this tier.
    pub fn note(&mut self, what: &str, count: usize) {
        *self.notes.entry(what.to_owned()).or_default() += count as u64;
    }

    /// Adds to how long something took.
    pub fn time(&mut self, what: &str, took: Duration) {
        self.times.entry(what.to_owned()).or_default().push(took);
    }

    /// What `percent` of 100 of those times were not longer than.
    #[must_use]
    pub fn took(&self, what: &str, percent: usize) -> Duration {
        percentile(self.times.get(what).map_or(&[], Vec::as_slice), percent)
    }

    /// Findings of one kind.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        let found = self.found.iter().filter(|found| found.kind() == kind);
        found.count()
    }

    /// The restart that `percent` of 100 were not slower than.
    #[must_use]
    pub fn restart(&self, percent: usize) -> Duration {
        percentile(&self.restarts, percent)
    }

    /// Whether every bound was kept.
    #[must_use]
    pub fn passed(&self) -> bool {
        let ran = self.skipped.is_some() || (self.cycles > 0 && self.acked_chunks > 0);
        self.found.is_empty() && ran && self.restart(99) <= RESTART_MAX
    }

    /// The line of a tier, and below it what went wrong.
    #[must_use]
    pub fn text(&self, tier: &str, seed: u64, took: Duration) -> String {
        if let Some(why) = &self.skipped {
            return format!("torture {tier}: skipped: {why}\n");
        }
        let mut text = format!(
            "torture {tier}: {} cycles, {} acknowledged ({} chunks, {}), lost {}, phantom {}, \
             double {}, odd {}, restart p50 {:.0?} p99 {:.0?}, seed {seed}: {} in {:.0} s\n",
            self.cycles,
            size(self.acked_bytes),
            self.acked_chunks,
            if self.durability.is_empty() {
                "-"
            } else {
                &self.durability
            },
            self.count("lost"),
            self.count("phantom"),
            self.count("double"),
            self.count("odd"),
            self.restart(50),
            self.restart(99),
            if self.passed() { "ok" } else { "FAILED" },
            took.as_secs_f64(),
        );
        self.details(&mut text);
        text
    }

    fn details(&self, text: &mut String) {
        let notes = self.notes.iter().map(|(what, n)| format!("{n} {what}"));
        let answers = self.answers.iter().map(|(what, n)| format!("{n} × {what}"));
        let parts = [
            ("of which", notes.collect::<Vec<_>>()),
            ("refusals", answers.collect()),
        ];
        for (name, items) in parts.iter().filter(|(_, items)| !items.is_empty()) {
            let _ = writeln!(text, "    {name}: {}", items.join(", "));
        }
        for (what, times) in &self.times {
            let [half, most, all] = [50, 99, 100].map(|percent| percentile(times, percent));
            let count = times.len();
            let _ = writeln!(
                text,
                "    {what}: p50 {half:.0?} p99 {most:.0?} max {all:.0?} of {count}"
            );
        }
        for kind in ["lost", "phantom", "double", "odd"] {
            let of_kind = self.found.iter().filter(|found| found.kind() == kind);
            for found in of_kind.take(SHOWN) {
                let _ = writeln!(text, "    {kind}: {}", found.text());
            }
            if let more @ 1.. = self.count(kind).saturating_sub(SHOWN) {
                let _ = writeln!(text, "    {kind}: and {more} more");
            }
        }
        if self.restart(99) > RESTART_MAX {
            let _ = writeln!(text, "    restarts may take {RESTART_MAX:?}");
        }
        for place in self.places.iter().take(SHOWN) {
            let _ = writeln!(text, "    kept: {}", place.display());
        }
    }
}

/// What `percent` of 100 times are not longer than.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 {
        format!("{mib:.0} MiB")
    } else {
        format!("{:.1} GiB", mib / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        Report {
            cycles: 2,
            acked_chunks: 1,
            acked_bytes: 5,
            restarts: vec![Duration::from_millis(4); 3],
            ..Report::default()
        }
    }

    #[test]
    fn any_finding_fails_a_tier() {
        assert!(good().passed());
        for found in [
            Finding::Lost,
            Finding::Phantom,
            Finding::Double,
            Finding::Odd,
        ] {
            let mut report = good();
            report.found.push(found("x".to_owned()));
            assert!(!report.passed());
        }
    }

    #[test]
    fn a_tier_that_did_nothing_fails() {
        assert!(!Report::default().passed());
        assert!(Report::skipped("no root").passed());
    }

    #[test]
    fn slow_restarts_fail_a_tier() {
        let mut report = good();
        report.restarts = vec![Duration::from_secs(6); 3];
        assert!(!report.passed());
    }

    #[test]
    fn times_of_parts_are_put_together() {
        let mut report = good();
        for part in 1..=2 {
            let mut other = good();
            (1..=50).for_each(|n| other.time("x", Duration::from_millis(n * part)));
            report.add(other);
        }
        assert_eq!(report.took("x", 100), Duration::from_millis(100));
        assert_eq!(report.took("x", 50), Duration::from_millis(34));
        assert_eq!(report.took("y", 99), Duration::ZERO);
    }

    #[test]
    fn the_line_has_every_figure() {
        let mut report = good();
        report.time("answers", Duration::from_millis(7));
        report.found.push(Finding::Lost("chunk 3".to_owned()));
        let text = report.text("kill", 77, Duration::from_secs(1));
        for part in [
            "2 cycles",
            "lost 1",
            "phantom 0",
            "double 0",
            "seed 77",
            "chunk 3",
            "answers: p50 7ms p99 7ms max 7ms of 1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
