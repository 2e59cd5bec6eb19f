#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsString;

use super::load::load;
use super::{Loaded, UploadConfig};

mod between;
mod bundled;
mod change;
mod environment;
mod shape;
mod unbuilt;
mod values;

/// What makes a text acceptable that is not about signatures.
const SIGNED: &str = "[security]\nschemes = [\"path\"]\n";

/// Loads `text` with security settled behind it, so that places in `text` stay what they are.
fn accept(text: &str) -> Loaded {
    match UploadConfig::from_toml(&format!("{text}\n{SIGNED}")) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{text}\nis refused:\n{error}"),
    }
}

/// The problems of `text`, one a line.
fn refuse(text: &str) -> Vec<String> {
    refuse_as_is(&format!("{text}\n{SIGNED}"))
}

/// The problems of `text` with nothing added.
fn refuse_as_is(text: &str) -> Vec<String> {
    match UploadConfig::from_toml(text) {
        Ok(_) => panic!("{text}\nis accepted"),
        Err(error) => error.problems().collect(),
    }
}

fn notices(text: &str) -> Vec<String> {
    accept(text)
        .notices
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// [`accept`] with an environment.
fn accept_with(text: &str, environment: &[(&str, &str)]) -> UploadConfig {
    let text = format!("{text}\n{SIGNED}");
    match load("config.toml", &text, variables(environment)) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{text}\nwith {environment:?} is refused:\n{error}"),
    }
}

/// [`refuse`] with an environment.
fn refuse_with(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let text = format!("{text}\n{SIGNED}");
    match load("config.toml", &text, variables(environment)) {
        Ok(_) => panic!("{text}\nwith {environment:?} is accepted"),
        Err(error) => error.problems().collect(),
    }
}
