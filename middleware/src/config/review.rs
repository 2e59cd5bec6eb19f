//! The second look at a configuration: what the checks between keys have before them, and what
//! they find.

use std::collections::BTreeSet;

use super::UploadConfig;
use super::error::{Notice, Problem};
use super::raw::Raw;

/// A configuration that has been read key by key.
pub(super) struct Review<'a> {
    pub(super) config: &'a UploadConfig,
    pub(super) raw: &'a Raw,
    /// The keys whose values were refused: they still have their defaults, which prove nothing.
    pub(super) refused: &'a BTreeSet<&'static str>,
    /// The name of the file, for what has no place in it.
    pub(super) file: &'a str,
}

impl Review<'_> {
    /// Whether the values of all these keys are the ones meant.
    pub(super) fn is_sound(&self, paths: &[&str]) -> bool {
        paths.iter().all(|path| !self.refused.contains(path))
    }

    /// A problem with the first of `paths`, at the place of the first that is set.
    pub(super) fn problem(&self, paths: &[&str], text: &str) -> Problem {
        Problem::new(self.place(paths), sentence(paths, text))
    }

    /// A notice, as [`Review::problem`].
    pub(super) fn notice(&self, paths: &[&str], text: &str) -> Notice {
        Notice::new(self.place(paths), sentence(paths, text))
    }

    fn place(&self, paths: &[&str]) -> &str {
        let set = paths.iter().find_map(|path| self.raw.value(path));
        set.and_then(|value| value.origin()).unwrap_or(self.file)
    }
}

fn sentence(paths: &[&str], text: &str) -> String {
    format!("{}: {text}", paths.first().copied().unwrap_or_default())
}

/// What is wrong, and what is worth saying.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) notices: Vec<Notice>,
}
