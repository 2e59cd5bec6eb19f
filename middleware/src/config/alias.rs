//! Old spellings: names that the HMAC File Server uses or used for keys of ours.

use super::key::Key;
use super::raw::ValueKind;
use super::suggest::letters;

/// What an old value means under its new name.
pub(super) type Meaning = fn(ValueKind) -> ValueKind;

/// Old names that have moved to another table, or say it differently.
const MOVED: &[(&str, &str, Meaning)] = &[
    ("redis.redisenabled", "sessions.store", store_of_switch),
    ("redis.redisaddr", "sessions.redis_url", url_of_address),
    ("sessions.redisenabled", "sessions.store", store_of_switch),
    ("sessions.redisaddr", "sessions.redis_url", url_of_address),
    ("server.redisenabled", "sessions.store", store_of_switch),
    ("server.redisaddr", "sessions.redis_url", url_of_address),
    ("server.storagepath", "delivery.storage_path", same),
    ("storage.storagepath", "delivery.storage_path", same),
];

/// Finds the key that `name` in `table` stands for: its own name, one that differs in separators
/// and case only (`chunkeduploadsenabled`, `read_timeout`), or a moved one.
pub(super) fn resolve<'k>(keys: &'k [Key], table: &str, name: &str) -> Option<(&'k Key, Meaning)> {
    let plain = letters(name);
    let same_table = || keys.iter().filter(|key| key.table() == table);
    let own = same_table().find(|key| key.name() == name);
    let respelled = || same_table().find(|key| letters(key.name()) == plain);
    if let Some(key) = own.or_else(respelled) {
        return Some((key, same));
    }
    let old = format!("{table}.{plain}");
    let (_, new, meaning) = MOVED.iter().find(|(moved, ..)| *moved == old)?;
    let key = keys.iter().find(|key| key.path == *new)?;
    Some((key, *meaning))
}

/// Where the keys of `table` are now, if it is a table of old.
pub(super) fn new_table(table: &str) -> Option<&'static str> {
    let table_of = |path: &'static str| path.split_once('.').map(|(table, _)| table);
    let (_, new, _) = MOVED
        .iter()
        .find(|(old, ..)| table_of(old) == Some(table))?;
    table_of(new)
}

fn same(value: ValueKind) -> ValueKind {
    value
}

fn store_of_switch(value: ValueKind) -> ValueKind {
    match value {
        ValueKind::Boolean(on) => if on { "redis" } else { "disk" }.into(),
        ValueKind::String(text) if text == "true" => "redis".into(),
        ValueKind::String(text) if text == "false" => "disk".into(),
        other => other,
    }
}

fn url_of_address(value: ValueKind) -> ValueKind {
    match value {
        ValueKind::String(text) if !text.contains("://") => format!("redis://{text}/0").into(),
        other => other,
    }
}
