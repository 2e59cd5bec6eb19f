//! Configuration texts: a base that suits tests, and what a test changes.

use toml::{Table, Value};

/// The secret of every test server.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The announced chunk size of the base configuration: the smallest one clients may choose.
pub const CHUNK: usize = 64 * 1024;

const BASE: &str = r#"
[server]
bind = "127.0.0.1:0"
networkevents = false

[uploads]
chunk_size = "64KB"
min_chunk_size = "64KB"
min_free_space = "1MB"

[security]
secret = "0123456789abcdef0123456789abcdef"
schemes = ["path"]
protect = ["/upload"]
"#;

/// A configuration under construction.
#[derive(Debug, Clone)]
pub struct Config(Table);

impl Default for Config {
    fn default() -> Self {
        Self(BASE.parse().expect("the base is TOML"))
    }
}

impl Config {
    /// The base with `extra` laid over it.
    ///
    /// # Panics
    /// When `extra` is not TOML.
    #[must_use]
    pub fn with(extra: &str) -> Self {
        Self::default().and(extra)
    }

    /// This configuration with `extra` laid over it, table by table.
    ///
    /// # Panics
    /// When `extra` is not TOML.
    #[must_use]
    pub fn and(mut self, extra: &str) -> Self {
        let extra: Table = extra.parse().expect("the test's configuration is TOML");
        merge(&mut self.0, extra);
        self
    }

    /// This configuration without `table.key`.
    #[must_use]
    pub fn without(mut self, table: &str, key: &str) -> Self {
        if let Some(Value::Table(inner)) = self.0.get_mut(table) {
            inner.remove(key);
        }
        self
    }

    /// This configuration with the string `table.key` set.
    #[must_use]
    pub fn set(mut self, table: &str, key: &str, value: &str) -> Self {
        let slot = self
            .0
            .entry(table)
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(inner) = slot {
            inner.insert(key.to_owned(), Value::String(value.to_owned()));
        }
        self
    }

    /// The string at `table.key`.
    #[must_use]
    pub fn text_of(&self, table: &str, key: &str) -> Option<String> {
        let found = self.0.get(table)?.get(key)?.as_str()?;
        Some(found.to_owned())
    }

    /// The strings of the list at `table.key`.
    #[must_use]
    pub fn list_of(&self, table: &str, key: &str) -> Vec<String> {
        let found = self.0.get(table).and_then(|table| table.get(key));
        let list = found.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect()
    }

    /// The TOML text.
    ///
    /// # Panics
    /// Never: a table always has a text.
    #[must_use]
    pub fn text(&self) -> String {
        toml::to_string(&self.0).expect("a table has a text")
    }
}

fn merge(base: &mut Table, extra: Table) {
    for (key, value) in extra {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
