use std::time::Duration;

use tokio::time::Instant;

/// When the gate shuts and opens: what is decided of changes, and of time that passes.
#[derive(Debug)]
pub(super) struct Settle {
    quiet: Duration,
    pause_max: Duration,
    state: State,
    /// Pauses that the time since has not made up for.
    spent: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open {
        since: Instant,
    },
    Shut {
        since: Instant,
        /// The last change.
        changed: Instant,
    },
    /// Changes are ignored.
    Deaf {
        until: Instant,
    },
}

/// What becomes of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Shuts,
    /// Nothing has changed for long enough.
    Opens,
    /// The pause has lasted as long as pauses may.
    OpensAnyhow,
}

impl Settle {
    /// Opens when nothing has changed for `quiet`, and pauses for `pause_max` at most.
    pub(super) fn new(quiet: Duration, pause_max: Duration, now: Instant) -> Self {
        Self {
            quiet,
            pause_max,
            state: State::Open { since: now },
            spent: Duration::ZERO,
        }
    }

    /// Something has changed.
    pub(super) fn changed(&mut self, now: Instant) -> Option<Turn> {
        match self.state {
            // Open => Shut
            State::Open { since } => {
                self.spent = self.spent.saturating_sub(now - since);
                self.state = State::Shut {
                    since: now,
                    changed: now,
                };
                Some(Turn::Shuts)
            }
            // Shut => Shut, for longer
            State::Shut { since, .. } => {
                self.state = State::Shut {
                    since,
                    changed: now,
                };
                None
            }
            // Deaf => Deaf
            State::Deaf { .. } => None,
        }
    }

    /// When [`Settle::passed`] has something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Open { .. } => None,
            State::Shut { since, changed } => Some(self.end(since).min(changed + self.quiet)),
            State::Deaf { until } => Some(until),
        }
    }

    /// Time has passed.
    pub(super) fn passed(&mut self, now: Instant) -> Option<Turn> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        match self.state {
            State::Open { .. } => None,
            // Shut => Deaf
            State::Shut { since, .. } if now >= self.end(since) => {
                // As long as that makes up for all of it.
                self.spent = Duration::ZERO;
                self.state = State::Deaf {
                    until: now + self.pause_max,
                };
                Some(Turn::OpensAnyhow)
            }
            // Shut => Open
            State::Shut { since, .. } => {
                self.spent += now - since;
                self.state = State::Open { since: now };
                Some(Turn::Opens)
            }
            // Deaf => Open
            State::Deaf { .. } => {
                self.state = State::Open { since: now };
                None
            }
        }
    }

    /// When a pause that began at `since` ends, whatever changes.
    fn end(&self, since: Instant) -> Instant {
        since + self.pause_max.saturating_sub(self.spent)
    }
}
