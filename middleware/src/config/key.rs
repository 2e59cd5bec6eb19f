//! A declared key: its name, its kind and its place in [`UploadConfig`], said once.

use std::fmt;

use super::UploadConfig;
use super::kind::{Kind, Wrong};
use super::raw::{Value, ValueKind};

type Read = dyn Fn(&Value, &mut UploadConfig) -> Result<(), Vec<Wrong>>;
type Show = dyn Fn(&mut UploadConfig) -> Option<String>;
type Copy = dyn Fn(&mut UploadConfig, &mut UploadConfig);
type Same = dyn Fn(&mut UploadConfig, &mut UploadConfig) -> bool;

/// A key of the file. Reading, printing, "did you mean", the environment and the check of the
/// bundled file all walk the same list of these ([`keys`](super::tables::keys)).
pub(super) struct Key {
    /// `table.name`.
    pub(super) path: &'static str,
    read: Box<Read>,
    show: Box<Show>,
    copy: Box<Copy>,
    same: Box<Same>,
    read_text: Box<dyn Fn(&str) -> ValueKind>,
}

impl Key {
    pub(super) fn table(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(table, _)| table)
    }

    pub(super) fn name(&self) -> &'static str {
        self.path
            .split_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// Reads `found` into its place in `config`; that stays as it is when something is wrong.
    pub(super) fn read(&self, found: &Value, config: &mut UploadConfig) -> Result<(), Vec<Wrong>> {
        (self.read)(found, config)
    }

    /// The value as TOML, `None` when it is not set. Secrets are masked.
    pub(super) fn show(&self, config: &UploadConfig) -> Option<String> {
        // A key has one accessor, and reading needs it mutable; printing is rare enough to copy.
        (self.show)(&mut config.clone())
    }

    /// Gives `to` the value that `from` has.
    pub(super) fn copy(&self, from: &UploadConfig, to: &mut UploadConfig) {
        (self.copy)(&mut from.clone(), to);
    }

    /// Whether both have the same value.
    pub(super) fn is_same(&self, one: &UploadConfig, other: &UploadConfig) -> bool {
        (self.same)(&mut one.clone(), &mut other.clone())
    }

    /// What the text of an environment variable means for this key.
    pub(super) fn read_text(&self, text: &str) -> ValueKind {
        (self.read_text)(text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

/// Declares a key. `place` is where its value lives; the default is what is there in
/// `UploadConfig::default()`.
pub(super) fn key<K: Kind>(
    path: &'static str,
    kind: K,
    place: fn(&mut UploadConfig) -> &mut K::Out,
) -> Key {
    let kind = std::rc::Rc::new(kind);
    let (shown, texts) = (kind.clone(), kind.clone());
    Key {
        path,
        read: Box::new(move |found, config| {
            *place(config) = kind
                .read(found)
                .map_err(|wrongs| with_example(kind.as_ref(), wrongs, place))?;
            Ok(())
        }),
        show: Box::new(move |config| shown.show(place(config))),
        copy: Box::new(move |from, to| place(to).clone_from(place(from))),
        same: Box::new(move |one, other| place(one) == place(other)),
        read_text: Box::new(move |text| texts.read_text(text)),
    }
}

/// Ends the refusals with the default as an example, where the kind has any use for one.
fn with_example<K: Kind>(
    kind: &K,
    mut wrongs: Vec<Wrong>,
    place: fn(&mut UploadConfig) -> &mut K::Out,
) -> Vec<Wrong> {
    let example = kind.show(place(&mut UploadConfig::default()));
    if let Some(example) = example.filter(|_| K::EXAMPLE) {
        for wrong in &mut wrongs {
            wrong.text.push_str(" such as ");
            wrong.text.push_str(&example);
        }
    }
    wrongs
}
