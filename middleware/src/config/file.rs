//! The file as a source: TOML with the place of every key.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::alias;
use super::duplicate;
use super::error::Problem;
use super::key::Key;
use super::place::Places;
use super::raw::{Draft, Value, ValueKind};

/// Reads a file. Problems with TOML itself are the only ones reported when there are any, since
/// what was understood of the rest is a guess; a table or key given twice is not one of those.
pub(super) fn read<'k>(name: &str, text: &str, keys: &'k [Key]) -> Result<Draft<'k>, Vec<Problem>> {
    let places = Places { name, text };
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut draft = Draft::new(keys);
    let mut broken = Vec::new();
    for error in errors {
        let start = error.span().map_or(0, |span| span.start);
        if error.message().starts_with("duplicate key") {
            draft
                .problems
                .push(duplicate::explain(places, error.span().unwrap_or_default()));
        } else {
            let text = format!("not valid TOML: {}", error.message());
            broken.push(Problem::new(places.at(start), text));
        }
    }
    if !broken.is_empty() {
        broken.append(&mut draft.problems);
        return Err(broken);
    }
    for (table, value) in document.get_ref() {
        read_table(&mut draft, places, table, value);
    }
    Ok(draft)
}

fn read_table(
    draft: &mut Draft<'_>,
    places: Places<'_>,
    table: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
) {
    let at = places.at(table.span().start);
    let name = table.get_ref().as_ref();
    let known = draft.tables().contains(&name) || alias::new_table(name).is_some();
    let Some(keys) = value.get_ref().as_table().filter(|_| known) else {
        let text = if known {
            format!("[{name}] must be a table, not a value")
        } else {
            draft.unknown_table(name)
        };
        return draft.problems.push(Problem::new(at, text));
    };
    for (key, value) in keys {
        let at = places.at(key.span().start);
        draft.put(&at, name, key.get_ref(), |_| {
            kind_of(value.get_ref(), Some(places))
        });
    }
}

/// The value written in `text`, without places; `None` if it is not TOML.
pub(super) fn value(text: &str) -> Option<ValueKind> {
    let value = DeValue::parse(text).ok()?;
    Some(kind_of(value.get_ref(), None))
}

/// A TOML value as one of the `config` crate. Numbers beyond 64 bits become text, and so do
/// dates: no key takes them, but their refusal then shows them as they were written.
fn kind_of(value: &DeValue<'_>, places: Option<Places<'_>>) -> ValueKind {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| number.to_string().into(), ValueKind::I64)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>();
            parsed.map_or_else(|_| number.to_string().into(), ValueKind::Float)
        }
        DeValue::Boolean(value) => ValueKind::Boolean(*value),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(elements) => {
            let places_of = |element: &Spanned<DeValue<'_>>| {
                places.map(|places| places.at(element.span().start))
            };
            let values = elements.iter().map(|element| {
                Value::new(
                    places_of(element).as_ref(),
                    kind_of(element.get_ref(), places),
                )
            });
            ValueKind::Array(values.collect())
        }
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| {
                let at = places.map(|places| places.at(key.span().start));
                let value = Value::new(at.as_ref(), kind_of(value.get_ref(), places));
                (key.get_ref().to_string(), value)
            });
            ValueKind::Table(entries.collect())
        }
    }
}
