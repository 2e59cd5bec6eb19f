use std::fmt::{Display, Write as _};

use crate::contestant::Contestant;
use crate::lineup::Goal;
use crate::sample::{Sample, Samples, cpu_ratio};

/// Rows of figures, one for each contestant.
pub(crate) struct Table {
    text: String,
    widths: Vec<usize>,
    /// Whether a server said that it does less than it was asked for.
    has_mismatch: bool,
}

impl Table {
    const TITLE: usize = 31;
    const DURABILITY: usize = 11;

    pub(crate) fn new<const N: usize>(title: impl Display, heads: &[&str; N]) -> Self {
        let mut table = Self {
            text: format!("\n{title}\n\n"),
            widths: heads.iter().map(|head| head.len().max(6) + 3).collect(),
            has_mismatch: false,
        };
        table.push_row(
            "contestant",
            "durability",
            &heads.map(|head| head.to_owned()),
        );
        table
    }

    pub(crate) fn push<const N: usize>(
        &mut self,
        contestant: Contestant,
        samples: &Samples,
        values: &[String; N],
    ) {
        let durability = samples.durability(contestant);
        self.push_for(contestant, samples.lineup.reference, durability, values);
    }

    /// A row; `durability` is what the server said it is.
    pub(crate) fn push_for(
        &mut self,
        contestant: Contestant,
        reference: Contestant,
        durability: Option<&str>,
        values: &[String],
    ) {
        let mark = if contestant == reference { " *" } else { "" };
        let title = format!("{}{mark}", contestant.title());
        let mut said = durability.unwrap_or("-").to_owned();
        if durability != contestant.durability() {
            said.push_str(" !");
            self.has_mismatch = true;
        }
        self.push_row(&title, &said, values);
    }

    /// The table, with what there is to say about it.
    pub(crate) fn into_text(mut self) -> String {
        if self.has_mismatch {
            self.push_line(
                "\n  ! is not what was asked for: figures of a server that flushes nothing",
            );
        }
        self.text
    }

    fn push_line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn push_row(&mut self, title: &str, durability: &str, values: &[String]) {
        let mut line = format!(
            "  {title:<0$}{durability:<1$}",
            Self::TITLE,
            Self::DURABILITY
        );
        for (value, width) in values.iter().zip(&self.widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{value:>width$}");
        }
        self.push_line(&line);
    }

    /// Whether the layer reaches what it should; `speed` compares it with the reference.
    pub(crate) fn push_goal(
        &mut self,
        goal: &Goal,
        samples: &Samples,
        speed: impl Fn(&[Sample], &[Sample]) -> f64,
    ) {
        let (own, reference) = (samples.of(goal.own), samples.reference());
        let is_as_asked = samples.durability(goal.own) == goal.own.durability();
        let verdict = |is_met| match (is_as_asked, is_met) {
            (false, _) => "does not count",
            (true, true) => "met",
            (true, false) => "missed",
        };
        let (wanted, reached) = (goal.speed, speed(own, reference));
        let (title, verdict_speed) = (goal.own.title(), verdict(reached >= wanted));
        self.push_line(&format!(
            "\n  goal: {title} at least {wanted} x the speed of *: {reached:.2}, {verdict_speed}"
        ));
        if let Some(wanted) = goal.cpu {
            let reached = cpu_ratio(own, reference);
            let verdict = verdict(reached <= wanted);
            self.push_line(&format!(
                "  goal: {title} at most {wanted} x its processor time: {reached:.2}, {verdict}"
            ));
        }
    }
}
