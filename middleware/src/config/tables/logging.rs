use crate::config::key::{Key, key};
use crate::config::kind::{Choice, Text};
use crate::config::text;

/// `[logging]`.
#[derive(Debug, Clone)]
pub struct Logging {
    /// A level (`info`), or levels per target (`info,steadfast=debug`), as `tracing` reads them.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `"text"`: for people.
    Text,
    /// `"json"`: one object a line.
    Json,
}

const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let level = Text {
        expected: "off, error, warn, info, debug or trace, or levels per target such as \"info,steadfast=debug\"",
        valid: text::is_log_filter,
    };
    vec![
        key("logging.level", level, |c| &mut c.logging.level),
        key("logging.format", Choice(FORMATS), |c| &mut c.logging.format),
    ]
}
