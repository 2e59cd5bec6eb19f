//! What the person at the keyboard reads: every problem of a configuration, and the notices of a
//! valid one.

use std::fmt;

/// The configuration cannot be used. Carries every problem found, not only the first.
///
/// Each line of its `Display` says where the problem is, what was found and what is allowed:
///
/// ```text
/// config.toml:12:1: uploads.chunk_size: "0KB" is not allowed: expected a size from 64KB to 64MB such as "5MB"
/// environment STEADFAST__UPLOADS__CHUNK_SISE: unknown key uploads.chunk_sise: did you mean "chunk_size"?
/// ```
///
/// Secrets are never part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// `problems` in the order of the file, the environment last.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| position(&problem.at));
        Self { problems }
    }

    /// The problems, one sentence each, in the order of the file.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(Problem::to_string)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One problem: the place (`file:line:column` or `environment NAME`) and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    at: String,
    text: String,
}

impl Problem {
    pub(super) fn new(at: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

/// One thing worth a line in the log about a configuration that is valid: an old spelling, or a
/// key that has no effect yet. Log its `Display`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice(Problem);

impl Notice {
    pub(super) fn new(at: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Problem::new(at, text))
    }

    /// In the order of the file, the environment last.
    pub(super) fn sort(notices: &mut [Self]) {
        notices.sort_by_key(|notice| position(&notice.0.at));
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Sorts `file:line:column` by its numbers, the file as a whole first, the environment last.
fn position(at: &str) -> (bool, usize, usize) {
    let mut parts = at.rsplit(':').map(str::parse::<usize>);
    match (parts.next(), parts.next()) {
        (Some(Ok(column)), Some(Ok(line))) => (false, line, column),
        _ => (at.starts_with("environment "), 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_order_of_the_file_environment_last() {
        let error = ConfigError::new(vec![
            Problem::new("environment STEADFAST__A", "e"),
            Problem::new("c.toml:10:1", "c"),
            Problem::new("c.toml:9:12", "b"),
            Problem::new("c.toml", "a"),
        ]);
        let order: Vec<_> = error
            .problems
            .iter()
            .map(|problem| problem.text.as_str())
            .collect();
        assert_eq!(order, ["a", "b", "c", "e"]);
        assert!(error.to_string().starts_with("c.toml: a\nc.toml:9:12: b\n"));
    }
}
