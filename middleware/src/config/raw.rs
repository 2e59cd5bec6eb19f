//! The mirror of one source, before anything is judged: every key optional, every value with the
//! place it comes from. Nothing here does I/O.

use std::collections::BTreeMap;
use std::fmt;

use ::config::{Config, Map, Source};

pub(super) use ::config::{Value, ValueKind};

use super::alias;
use super::error::{Notice, Problem};
use super::key::Key;
use super::suggest::nearest;
use super::{UploadConfig, kind};

/// Values by `table.name`, each with its place as `origin`.
#[derive(Clone, Default)]
pub(super) struct Raw(BTreeMap<&'static str, Value>);

impl Raw {
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        self.0.get(path)
    }

    /// Lays the sources over each other, the later over the earlier.
    pub(super) fn merge(sources: [Self; 2], keys: &[Key]) -> Result<Self, Problem> {
        let builder = sources
            .into_iter()
            .fold(Config::builder(), |builder, source| {
                builder.add_source(source)
            });
        let merged = builder
            .build()
            .map_err(|error| Problem::new("configuration", error.to_string()))?;
        let mut raw = Self::default();
        let ValueKind::Table(tables) = &merged.cache.kind else {
            return Ok(raw);
        };
        for key in keys {
            let table = tables.get(key.table()).map(|table| &table.kind);
            if let Some(ValueKind::Table(table)) = table
                && let Some(value) = table.get(key.name())
            {
                raw.0.insert(key.path, value.clone());
            }
        }
        Ok(raw)
    }
}

impl Source for Raw {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(self
            .0
            .iter()
            .map(|(path, value)| ((*path).to_owned(), value.clone()))
            .collect())
    }
}

/// Names only: a value may be a secret.
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A source being read: what is known goes into its [`Raw`], the rest becomes problems.
#[derive(Debug)]
pub(super) struct Draft<'k> {
    keys: &'k [Key],
    pub(super) raw: Raw,
    pub(super) problems: Vec<Problem>,
    pub(super) notices: Vec<Notice>,
}

impl<'k> Draft<'k> {
    pub(super) fn new(keys: &'k [Key]) -> Self {
        Self {
            keys,
            raw: Raw::default(),
            problems: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Takes the value of a key, whatever it is called; `at` is the key's place. `value` is made
    /// only for a key that is known.
    pub(super) fn put(
        &mut self,
        at: &str,
        table: &str,
        name: &str,
        value: impl FnOnce(&Key) -> ValueKind,
    ) {
        let Some((key, meaning)) = alias::resolve(self.keys, table, name) else {
            let text = self.unknown_key(table, name);
            return self.problems.push(Problem::new(at, text));
        };
        let place = at.to_owned();
        let value = Value::new(Some(&place), meaning(value(key)));
        if key.path.split_once('.') != Some((table, name)) {
            let new = if key.table() == table {
                key.name().to_owned()
            } else {
                format!("{} in [{}]", key.name(), key.table())
            };
            let text = format!("{table}.{name} is an old spelling: write {new}");
            self.notices.push(Notice::new(at, text));
        }
        self.insert(at, key, value);
    }

    fn insert(&mut self, at: &str, key: &'k Key, value: Value) {
        // Laying sources over each other merges tables and forgets where they came from: what no
        // key takes is refused before.
        if matches!(value.kind, ValueKind::Table(_)) {
            return self.problems.extend(problems_of(
                key,
                at,
                &value,
                &mut UploadConfig::default(),
            ));
        }
        if let Some(other) = self.raw.0.get(key.path) {
            let other = other.origin().unwrap_or_default();
            let text = format!(
                "{} is set twice under two spellings, here and at {other}: keep one of them",
                key.path
            );
            return self.problems.push(Problem::new(at, text));
        }
        self.raw.0.insert(key.path, value);
    }

    fn unknown_key(&self, table: &str, name: &str) -> String {
        let names = || {
            self.keys
                .iter()
                .filter(|key| key.table() == table)
                .map(Key::name)
        };
        let elsewhere = self.tables_with(name);
        let hint = if names().next().is_none() {
            match alias::new_table(table) {
                Some(new) => format!("what was in [{table}] is in [{new}]"),
                None => return self.unknown_table(table),
            }
        } else if !elsewhere.is_empty() {
            format!("it belongs in {elsewhere}")
        } else if let Some(near) = nearest(name, names()) {
            format!("did you mean {}?", kind::quote(near))
        } else {
            format!("[{table}] has {}", names().collect::<Vec<_>>().join(", "))
        };
        format!("unknown key {table}.{name}: {hint}")
    }

    /// The sentence on a table, or a key outside of all tables, that does not exist.
    pub(super) fn unknown_table(&self, name: &str) -> String {
        let elsewhere = self.tables_with(name);
        if !elsewhere.is_empty() {
            return format!("unknown table {name}: the key {name} belongs in {elsewhere}");
        }
        let tables = self.tables();
        match nearest(name, tables.iter().copied()) {
            Some(near) => format!("unknown table {name}: did you mean [{near}]?"),
            None => format!("unknown table {name}: there are {}", tables.join(", ")),
        }
    }

    /// The tables that have a key of this name: `[security] or [deduplication]`.
    fn tables_with(&self, name: &str) -> String {
        let keys = self.keys.iter().filter(|key| key.name() == name);
        let tables: Vec<_> = keys.map(|key| format!("[{}]", key.table())).collect();
        tables.join(" or ")
    }

    /// The names of all tables, in the order of the file.
    pub(super) fn tables(&self) -> Vec<&'static str> {
        let mut tables: Vec<_> = self.keys.iter().map(Key::table).collect();
        tables.dedup();
        tables
    }
}

/// Reads `value` into `config` and returns what is wrong with it; `at` is the key's place.
pub(super) fn problems_of(
    key: &Key,
    at: &str,
    value: &Value,
    config: &mut UploadConfig,
) -> Vec<Problem> {
    let wrongs = key.read(value, config).err().unwrap_or_default();
    let problem = |wrong: kind::Wrong| {
        let at = wrong.at.unwrap_or_else(|| at.to_owned());
        Problem::new(at, format!("{}: {}", key.path, wrong.text))
    };
    wrongs.into_iter().map(problem).collect()
}
