//! From sources to a configuration: read, lay over each other, check.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::cross;
use super::error::{ConfigError, Notice, Problem};
use super::key::Key;
use super::raw::{Draft, Raw, problems_of};
use super::review::{Findings, Review};
use super::tables::keys;
use super::{UploadConfig, environment, file, unbuilt};

/// The name that problems give to a text that came from no file.
const UNNAMED: &str = "config.toml";

/// A valid configuration and what is to be said about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: UploadConfig,
    /// Sentences for the log, in the order of the file.
    pub notices: Vec<Notice>,
}

impl UploadConfig {
    /// Reads a file and lays the environment over it (`STEADFAST__UPLOADS__CHUNK_SIZE=10MB`).
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file and the environment; a file that is not there.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Loaded, ConfigError> {
        from_file_and(path.as_ref(), std::env::vars_os())
    }

    /// As [`UploadConfig::from_file`]; without a file the defaults are used, with a notice.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file and the environment; a file that cannot be read.
    pub fn from_file_or_default(path: impl AsRef<Path>) -> Result<Loaded, ConfigError> {
        from_file_or_default_and(path.as_ref(), std::env::vars_os())
    }

    /// Reads TOML text without the environment. Places in it are given as in a file
    /// `config.toml`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text.
    pub fn from_toml(text: &str) -> Result<Loaded, ConfigError> {
        load(UNNAMED, text, [])
    }
}

/// [`UploadConfig::from_file`] where the text of the file was read already.
pub(crate) fn load_from(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    load(&path.display().to_string(), text, std::env::vars_os())
}

/// [`UploadConfig::from_file`] with the environment as an argument.
pub(super) fn from_file_and(
    path: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => load(&path.display().to_string(), &text, environment),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// [`UploadConfig::from_file_or_default`] with the environment as an argument.
pub(super) fn from_file_or_default_and(
    path: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => load(&name, &text, environment),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut loaded = load(&name, "", environment)?;
            loaded
                .notices
                .insert(0, Notice::new(name, "not found: defaults are used"));
            Ok(loaded)
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let name = path.display().to_string();
    ConfigError::new(vec![Problem::new(name, format!("cannot be read: {error}"))])
}

/// The whole way: text and environment to a configuration, or all that is wrong with them.
pub(super) fn load(
    name: &str,
    text: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let keys = keys();
    let environment = environment::read(environment, &keys);
    let file = file::read(name, text, &keys).map_err(ConfigError::new)?;
    let Draft {
        raw: below,
        mut problems,
        mut notices,
        ..
    } = file;
    problems.extend(environment.problems);
    notices.extend(environment.notices);
    let raw = Raw::merge([below, environment.raw], &keys)
        .map_err(|problem| ConfigError::new(vec![problem]))?;
    let (config, found) = validate(&raw, &keys, name);
    problems.extend(found.problems);
    notices.extend(found.notices);
    if problems.is_empty() {
        Notice::sort(&mut notices);
        Ok(Loaded { config, notices })
    } else {
        Err(ConfigError::new(problems))
    }
}

/// Reads every value over the defaults, then checks the keys against each other and against what
/// is built.
fn validate(raw: &Raw, keys: &[Key], file: &str) -> (UploadConfig, Findings) {
    let mut config = UploadConfig::default();
    let mut problems = Vec::new();
    let mut refused = BTreeSet::new();
    for key in keys {
        let Some(value) = raw.value(key.path) else {
            continue;
        };
        let at = value.origin().unwrap_or(file);
        let found = problems_of(key, at, value, &mut config);
        if !found.is_empty() {
            refused.insert(key.path);
        }
        problems.extend(found);
    }
    if raw.value("workers.max_workers").is_none() {
        let workers = &mut config.workers;
        workers.max_workers = workers.max_workers.max(workers.numworkers);
    }
    let review = Review {
        config: &config,
        raw,
        refused: &refused,
        file,
    };
    let mut findings = Findings {
        problems,
        notices: Vec::new(),
    };
    cross::check(&review, &mut findings);
    unbuilt::check(&review, keys, &mut findings);
    (config, findings)
}
