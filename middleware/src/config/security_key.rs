//! How `security.secret` and `[[security.keys]]` are read. What was found is never repeated.

use std::time::SystemTime;

use super::SecurityKey;
use super::kind::{Kind, Wrong, describe, quote};
use super::raw::{Value, ValueKind};
use super::secret::{MASK, Secret};
use super::suggest::nearest;
use super::text::is_visible;

/// The text of a secret; its UTF-8 bytes are the secret.
pub(super) struct SecretText;

impl Kind for SecretText {
    type Out = Secret;

    fn read(&self, found: &Value) -> Result<Secret, Vec<Wrong>> {
        let ValueKind::String(text) = &found.kind else {
            return Err(vec![Wrong::masked(found, "a text of at least 16 bytes")]);
        };
        let secret = Secret::new(text.clone().into_bytes());
        secret.map_err(|refusal| vec![Wrong::because(found, refusal.to_string())])
    }

    fn show(&self, _: &Secret) -> Option<String> {
        Some(quote(MASK))
    }
}

/// One `[[security.keys]]`.
pub(super) struct KeyTable;

const NAMES: [&str; 3] = ["id", "secret", "not_after"];

impl Kind for KeyTable {
    type Out = SecurityKey;
    const LIST: &str = "a list of tables, each under its own [[security.keys]]";

    fn read(&self, found: &Value) -> Result<SecurityKey, Vec<Wrong>> {
        let ValueKind::Table(table) = &found.kind else {
            return Err(vec![Wrong::masked(
                found,
                "a table with id, secret and not_after",
            )]);
        };
        let mut wrongs: Vec<Wrong> = table
            .iter()
            .filter(|(name, _)| !NAMES.contains(&name.as_str()))
            .map(|(name, value)| unknown(name, value))
            .collect();
        let read = |name: &str| table.get(name).filter(|value| value.kind != ValueKind::Nil);
        let id = read("id").map(read_id);
        let secret = read("secret").map(|value| SecretText.read(value));
        let not_after = read("not_after").map(read_time).transpose();
        for (name, missing) in [("id", id.is_none()), ("secret", secret.is_none())] {
            if missing {
                wrongs.push(Wrong::because(found, format!("{name} is missing")));
            }
        }
        match (id, secret, not_after) {
            (Some(Ok(id)), Some(Ok(secret)), Ok(not_after)) if wrongs.is_empty() => {
                Ok(SecurityKey {
                    id,
                    secret,
                    not_after,
                })
            }
            (id, secret, not_after) => {
                wrongs.extend(id.and_then(Result::err));
                wrongs.extend(secret.and_then(Result::err).into_iter().flatten());
                wrongs.extend(not_after.err());
                Err(wrongs)
            }
        }
    }

    fn show(&self, key: &SecurityKey) -> Option<String> {
        let not_after = key.not_after.map(|time| {
            let time = humantime::format_rfc3339(time).to_string();
            format!(", not_after = {}", quote(&time))
        });
        let id = quote(&key.id);
        Some(format!(
            "{{ id = {id}, secret = \"{MASK}\"{} }}",
            not_after.unwrap_or_default()
        ))
    }
}

fn unknown(name: &str, value: &Value) -> Wrong {
    let hint = match nearest(name, NAMES) {
        Some(near) => format!("did you mean {}?", quote(near)),
        None => "allowed are id, secret and not_after".to_owned(),
    };
    Wrong::because(value, format!("unknown key {name}: {hint}"))
}

fn read_id(found: &Value) -> Result<String, Wrong> {
    match &found.kind {
        ValueKind::String(id) if is_visible(id) && id.len() <= 64 => Ok(id.clone()),
        _ => Err(Wrong::because(
            found,
            format!(
                "id {} is not allowed: expected 1 to 64 of visible ASCII without spaces",
                describe(found)
            ),
        )),
    }
}

fn read_time(found: &Value) -> Result<SystemTime, Wrong> {
    let time = match &found.kind {
        ValueKind::String(text) => humantime::parse_rfc3339(text).ok(),
        _ => None,
    };
    time.ok_or_else(|| {
        let expected = "expected a time in UTC such as 2027-01-31T00:00:00Z";
        Wrong::because(
            found,
            format!("not_after {} is not allowed: {expected}", describe(found)),
        )
    })
}
