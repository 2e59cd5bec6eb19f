use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Method, Mode, Times, UploadConfig};

/// Long enough for a handler that closes a file before it moves it to its name.
const QUIET: Duration = Duration::from_secs(5);

/// What is to be done where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code))]
pub struct Settings {
    pub(super) directory: PathBuf,
    pub(super) state_dir: PathBuf,
    /// In bytes.
    pub(super) size_max: u64,
    pub(super) method: Method,
    pub(super) times: Times,
    /// How long a file must not have changed.
    pub(super) quiet: Duration,
}

impl Settings {
    /// What `config` asks for, if anything.
    #[must_use]
    pub fn of(config: &UploadConfig) -> Option<Self> {
        let deduplication = &config.deduplication;
        let stored = match config.delivery.mode {
            Mode::Store => Some(&config.delivery.storage_path),
            Mode::Handler => None,
        };
        let directory = deduplication.directory.as_ref().or(stored);
        let directory = directory.filter(|_| deduplication.enabled)?;
        Some(Self {
            directory: directory.clone(),
            state_dir: config.uploads.state_dir.clone(),
            size_max: deduplication.maxsize,
            method: deduplication.method,
            times: deduplication.times,
            quiet: QUIET,
        })
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.directory.display();
        match self.method {
            Method::Reflink => write!(f, "share their space in {dir}, by reflinks"),
            Method::Hardlink => write!(f, "share their space in {dir}, by hard links"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn directory(config: &UploadConfig) -> Option<PathBuf> {
        Settings::of(config).map(|settings| settings.directory)
    }

    #[test]
    fn nothing_runs_without_a_directory() {
        let mut config = UploadConfig::default();
        assert_eq!(directory(&config), None);
        config.deduplication.directory = Some("files".into());
        assert_eq!(directory(&config), Some("files".into()));
        config.deduplication.enabled = false;
        assert_eq!(directory(&config), None);
    }

    #[test]
    fn store_mode_has_a_directory() {
        let mut config = UploadConfig::default();
        config.delivery.mode = Mode::Store;
        config.delivery.storage_path = "stored".into();
        assert_eq!(directory(&config), Some("stored".into()));
        config.deduplication.directory = Some("other".into());
        assert_eq!(directory(&config), Some("other".into()));
    }
}
