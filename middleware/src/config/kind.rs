//! The kinds of values a key can have: how each is read, what it allows, how it is printed.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::cidr::Cidr;
use super::raw::{Value, ValueKind};
use super::units::{SIZE_MAX, parse_duration, parse_size, show_duration, show_size};

/// One kind of value. Combinators ([`Optional`], [`List`]) make kinds of kinds.
pub(super) trait Kind: 'static {
    /// What a value of this kind is in the program.
    type Out: Clone + PartialEq;

    /// Whether a refusal may offer the default as an example.
    const EXAMPLE: bool = false;

    /// What a list of this kind is, as the end of the sentence "expected ...".
    const LIST: &str = "a list such as [\"...\"]";

    /// Reads a value; everything that is wrong with it otherwise.
    fn read(&self, found: &Value) -> Result<Self::Out, Vec<Wrong>>;

    /// The value as TOML, `None` when it is not set.
    fn show(&self, value: &Self::Out) -> Option<String>;

    /// What the text of an environment variable means. Text that makes no sense stays text, so
    /// that [`Kind::read`] refuses it in its own words.
    fn read_text(&self, text: &str) -> ValueKind {
        ValueKind::String(text.to_owned())
    }
}

/// A value that is not allowed.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Where, if not where the key is: an element of a list has its own place.
    pub(super) at: Option<String>,
    /// What is wrong, as the sentence after `key: `.
    pub(super) text: String,
}

impl Wrong {
    /// The usual sentence: what was found, what is expected.
    pub(super) fn new(found: &Value, expected: &str) -> Self {
        Self::because(
            found,
            format!("{} is not allowed: expected {expected}", describe(found)),
        )
    }

    /// The same for values that must not be repeated: only their type is named.
    pub(super) fn masked(found: &Value, expected: &str) -> Self {
        Self::because(
            found,
            format!(
                "{} is not allowed: expected {expected}",
                describe_type(found)
            ),
        )
    }

    pub(super) fn because(found: &Value, text: String) -> Self {
        Self {
            at: found.origin().map(str::to_owned),
            text,
        }
    }

    fn one<T>(found: &Value, expected: &str) -> Result<T, Vec<Self>> {
        Err(vec![Self::new(found, expected)])
    }
}

/// What was found, as it would be written; long texts are cut.
pub(super) fn describe(found: &Value) -> String {
    const SHOWN_MAX: usize = 60;
    match &found.kind {
        ValueKind::String(text) if text.chars().count() > SHOWN_MAX => {
            let start: String = text.chars().take(SHOWN_MAX).collect();
            format!("{}...", quote(&start))
        }
        ValueKind::String(text) => quote(text),
        ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_) => found.kind.to_string(),
        ValueKind::Float(number) => format!("{number:?}"),
        ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => {
            describe_type(found).to_owned()
        }
    }
}

fn describe_type(found: &Value) -> &'static str {
    match found.kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "a boolean",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
        ValueKind::String(_) => "a text",
        _ => "a number",
    }
}

/// A text as a TOML basic string.
pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Out = bool;

    fn read(&self, found: &Value) -> Result<bool, Vec<Wrong>> {
        match found.kind {
            ValueKind::Boolean(value) => Ok(value),
            _ => Wrong::one(found, "true or false"),
        }
    }

    fn show(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn read_text(&self, text: &str) -> ValueKind {
        text.parse::<bool>()
            .map_or_else(|_| text.into(), ValueKind::Boolean)
    }
}

/// A number of things.
pub(super) struct Count(pub(super) RangeInclusive<usize>);

impl Kind for Count {
    type Out = usize;
    const EXAMPLE: bool = true;

    fn read(&self, found: &Value) -> Result<usize, Vec<Wrong>> {
        let number = match found.kind {
            ValueKind::I64(number) => usize::try_from(number).ok(),
            _ => None,
        };
        let allowed = number.filter(|number| self.0.contains(number));
        let expected = || format!("a whole number from {} to {}", self.0.start(), self.0.end());
        allowed.map_or_else(|| Wrong::one(found, &expected()), Ok)
    }

    fn show(&self, value: &usize) -> Option<String> {
        Some(value.to_string())
    }

    fn read_text(&self, text: &str) -> ValueKind {
        text.parse::<i64>()
            .map_or_else(|_| text.into(), ValueKind::I64)
    }
}

/// A number of bytes: `"10MB"`, or a bare whole number.
pub(super) struct Size(pub(super) RangeInclusive<u64>);

impl Kind for Size {
    type Out = u64;
    const EXAMPLE: bool = true;

    fn read(&self, found: &Value) -> Result<u64, Vec<Wrong>> {
        let size = match &found.kind {
            ValueKind::String(text) => parse_size(text),
            ValueKind::I64(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let allowed = size.filter(|size| self.0.contains(size));
        let (from, to) = (show_size(*self.0.start()), show_size(*self.0.end()));
        let expected = match (*self.0.start(), *self.0.end()) {
            (0, SIZE_MAX) => "a size".to_owned(),
            (_, SIZE_MAX) => format!("a size from {from} up"),
            _ => format!("a size from {from} to {to}"),
        };
        allowed.map_or_else(|| Wrong::one(found, &expected), Ok)
    }

    fn show(&self, value: &u64) -> Option<String> {
        Some(quote(&show_size(*value)))
    }
}

/// A span of time: `"1h30m"`.
pub(super) struct Span(pub(super) RangeInclusive<Duration>);

impl Kind for Span {
    type Out = Duration;
    const EXAMPLE: bool = true;

    fn read(&self, found: &Value) -> Result<Duration, Vec<Wrong>> {
        let duration = match &found.kind {
            ValueKind::String(text) => parse_duration(text),
            _ => None,
        };
        let allowed = duration.filter(|duration| self.0.contains(duration));
        let bare = match &found.kind {
            ValueKind::I64(_) | ValueKind::Float(_) => true,
            ValueKind::String(text) => text.trim().parse::<f64>().is_ok(),
            _ => false,
        };
        let (from, to) = (show_duration(*self.0.start()), show_duration(*self.0.end()));
        let with = if bare { "with its unit, " } else { "" };
        allowed.map_or_else(
            || Wrong::one(found, &format!("a duration {with}from {from} to {to}")),
            Ok,
        )
    }

    fn show(&self, value: &Duration) -> Option<String> {
        Some(quote(&show_duration(*value)))
    }
}

/// A text that passes a check.
pub(super) struct Text {
    /// What is allowed, as the end of the sentence "expected ...".
    pub(super) expected: &'static str,
    pub(super) valid: fn(&str) -> bool,
}

impl Kind for Text {
    type Out = String;

    fn read(&self, found: &Value) -> Result<String, Vec<Wrong>> {
        match &found.kind {
            ValueKind::String(text) if (self.valid)(text) => Ok(text.clone()),
            _ => Wrong::one(found, self.expected),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quote(value))
    }
}

/// The path of a file or directory; a relative one is resolved by the working directory.
pub(super) struct FilePath;

impl Kind for FilePath {
    type Out = PathBuf;

    fn read(&self, found: &Value) -> Result<PathBuf, Vec<Wrong>> {
        match &found.kind {
            ValueKind::String(text) if !text.is_empty() && !text.contains('\0') => Ok(text.into()),
            _ => Wrong::one(found, "a path"),
        }
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        Some(quote(&value.to_string_lossy()))
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + 'static> Kind for Choice<T> {
    type Out = T;

    fn read(&self, found: &Value) -> Result<T, Vec<Wrong>> {
        let word = match &found.kind {
            ValueKind::String(text) => self.0.iter().find(|(word, _)| word == text),
            _ => None,
        };
        let words: Vec<_> = self.0.iter().map(|(word, _)| quote(word)).collect();
        word.map_or_else(
            || Wrong::one(found, &words.join(" or ")),
            |(_, value)| Ok(*value),
        )
    }

    fn show(&self, value: &T) -> Option<String> {
        self.0
            .iter()
            .find(|(_, known)| known == value)
            .map(|(word, _)| quote(word))
    }
}

/// A block of addresses.
pub(super) struct Network;

impl Kind for Network {
    type Out = Cidr;

    fn read(&self, found: &Value) -> Result<Cidr, Vec<Wrong>> {
        let text = match &found.kind {
            ValueKind::String(text) => text.as_str(),
            _ => "",
        };
        let slip = text
            .split_once('/')
            .is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok());
        let expected = if slip {
            "a network without bits behind its prefix such as \"10.0.0.0/8\""
        } else {
            "an address or a network such as \"10.0.0.0/8\" or \"2001:db8::/32\""
        };
        Cidr::parse(text).map_or_else(|| Wrong::one(found, expected), Ok)
    }

    fn show(&self, value: &Cidr) -> Option<String> {
        Some(quote(&value.to_string()))
    }
}

/// A key that need not be set.
pub(super) struct Optional<K>(pub(super) K);

impl<K: Kind> Kind for Optional<K> {
    type Out = Option<K::Out>;

    fn read(&self, found: &Value) -> Result<Self::Out, Vec<Wrong>> {
        self.0.read(found).map(Some)
    }

    fn show(&self, value: &Self::Out) -> Option<String> {
        value.as_ref().and_then(|value| self.0.show(value))
    }

    fn read_text(&self, text: &str) -> ValueKind {
        self.0.read_text(text)
    }
}

/// A list, in the environment written as in TOML (`["a", "b"]`) or plainly (`a,b`).
pub(super) struct List<K>(pub(super) K);

impl<K: Kind> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn read(&self, found: &Value) -> Result<Self::Out, Vec<Wrong>> {
        let ValueKind::Array(elements) = &found.kind else {
            // An element may be secret, and so may what stands in place of the list.
            return Err(vec![Wrong::masked(found, K::LIST)]);
        };
        let mut list = Vec::with_capacity(elements.len());
        let mut wrongs = Vec::new();
        for element in elements {
            match self.0.read(element) {
                Ok(value) => list.push(value),
                Err(found) => wrongs.extend(found),
            }
        }
        if wrongs.is_empty() {
            Ok(list)
        } else {
            Err(wrongs)
        }
    }

    fn show(&self, value: &Self::Out) -> Option<String> {
        let elements: Vec<_> = value
            .iter()
            .filter_map(|element| self.0.show(element))
            .collect();
        Some(format!("[{}]", elements.join(", ")))
    }

    fn read_text(&self, text: &str) -> ValueKind {
        if text.trim_start().starts_with('[') {
            return super::file::value(text).unwrap_or_else(|| text.into());
        }
        let elements = text
            .split(',')
            .map(str::trim)
            .filter(|element| !element.is_empty());
        let values = elements.map(|element| Value::new(None, self.0.read_text(element)));
        ValueKind::Array(values.collect())
    }
}
