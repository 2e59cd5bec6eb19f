//! A table or key that is given twice: where both are, and what to do.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::place::Places;

/// Explains the second of two; `span` is its name. The parser knows the first as well but does not
/// tell, so the text before the second is read again and asked.
pub(super) fn explain(places: Places<'_>, span: Range<usize>) -> Problem {
    let text = places.text;
    let start = places.line_start(span.start);
    let line = text[start..].lines().next().unwrap_or_default();
    let name = text
        .get(span.clone())
        .unwrap_or_default()
        .trim_matches(['"', '\'']);
    let (path, shown, advice) = match header(line) {
        Some(path) => {
            let shown = format!("[{}]", path.join("."));
            (path, shown, "merge them into one table")
        }
        None => {
            let mut path = text[..start]
                .lines()
                .rev()
                .find_map(header)
                .unwrap_or_default();
            path.push(name.to_owned());
            let shown = path.join(".");
            (path, shown, "keep one of them")
        }
    };
    let second = places.line(span.start);
    let lines = match first(&text[..start], &path) {
        Some(offset) => format!(", on lines {} and {second}", places.line(offset)),
        None => String::new(),
    };
    Problem::new(
        places.at(span.start),
        format!("{shown} appears twice{lines}: {advice}"),
    )
}

/// The path in a line that is a header: `[security]`, `[[security.keys]]`.
fn header(line: &str) -> Option<Vec<String>> {
    if !line.trim_start().starts_with('[') {
        return None;
    }
    let document = DeTable::parse(line).ok()?;
    let mut table = document.get_ref();
    let mut path = Vec::new();
    while let Some((key, value)) = table.iter().next() {
        path.push(key.get_ref().to_string());
        table = inner(value.get_ref())?;
    }
    Some(path)
}

/// Where the name at the end of `path` stands in `text`.
fn first(text: &str, path: &[String]) -> Option<usize> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut table = document.get_ref();
    let (last, parents) = path.split_last()?;
    for parent in parents {
        table = inner(table.get(parent.as_str())?.get_ref())?;
    }
    table
        .get_key_value(last.as_str())
        .map(|(key, _)| key.span().start)
}

/// The table that a name leads to; of several (`[[...]]`), the last.
fn inner<'t, 'i>(value: &'t DeValue<'i>) -> Option<&'t DeTable<'i>> {
    match value {
        DeValue::Table(table) => Some(table),
        DeValue::Array(tables) => tables
            .iter()
            .last()
            .and_then(|table| table.get_ref().as_table()),
        _ => None,
    }
}
