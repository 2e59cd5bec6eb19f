//! The text format of Prometheus (version 0.0.4), read strictly.

use std::collections::BTreeMap;

/// Samples by their name with labels, as they are written.
pub type Samples = BTreeMap<String, f64>;

/// Reads a whole page.
///
/// # Panics
/// When it is not what the format and its conventions ask for.
#[must_use]
pub fn parse(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line has an end");
    let (mut samples, mut family) = (Samples::new(), Family::default());
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family.check();
            let (name, help) = rest.split_once(' ').expect("help");
            assert!(!help.contains('\\') && help.ends_with('.'), "{line}");
            assert!(!families.contains(&name.to_owned()), "{name} comes twice");
            families.push(name.to_owned());
            family = Family::named(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!((name, &*family.kind), (&*family.name, ""), "{line}");
            let known = ["counter", "gauge", "histogram"].contains(&kind);
            assert!(known, "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            let value: f64 = value.parse().expect("a number");
            assert!(value >= 0.0 && value.is_finite(), "{line}");
            family.take(name, value);
            let twice = samples.insert(name.to_owned(), value);
            assert!(twice.is_none(), "{line} comes twice");
        }
    }
    family.check();
    samples
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    /// Buckets in order.
    buckets: Vec<(f64, f64)>,
    count: f64,
}

impl Family {
    fn named(name: &str) -> Self {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.starts_with("steadfast_") && name.chars().all(is_name));
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    fn take(&mut self, sample: &str, value: f64) {
        let (name, labels) = match sample.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("an end")),
            None => (sample, ""),
        };
        let suffix = name.strip_prefix(&*self.name);
        let suffix = suffix.unwrap_or_else(|| panic!("{sample} belongs to no family"));
        let label = labels.split_once('=').map(|(name, value)| {
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            (name, value.expect("quotes"))
        });
        assert_eq!(label.is_some(), !labels.is_empty(), "{sample}");
        match (&*self.kind, suffix, label) {
            ("histogram", "_bucket", Some(("le", "+Inf"))) => {
                self.buckets.push((f64::INFINITY, value));
            }
            ("histogram", "_bucket", Some(("le", bound))) => {
                self.buckets.push((bound.parse().expect("a bound"), value));
            }
            ("histogram", "_sum", None) => {}
            ("histogram", "_count", None) => self.count = value,
            ("counter" | "gauge", "", label) => {
                let is_word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                assert!(label.is_none_or(|(name, value)| is_word(name) && is_word(value)));
            }
            _ => panic!("{sample} is no sample of a {}", self.kind),
        }
    }

    fn check(&self) {
        if self.kind == "histogram" {
            assert!(self.buckets.is_sorted(), "{}", self.name);
            assert_eq!(self.buckets.last(), Some(&(f64::INFINITY, self.count)));
        }
    }
}
