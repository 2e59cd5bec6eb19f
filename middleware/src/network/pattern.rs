/// Which interfaces count.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    watch: Vec<String>,
    ignore: Vec<String>,
}

impl Patterns {
    pub(super) fn new(watch: &[String], ignore: &[String]) -> Self {
        Self {
            watch: watch.to_vec(),
            ignore: ignore.to_vec(),
        }
    }

    /// Whether the interface of this name counts: it is watched and not ignored.
    pub(super) fn count(&self, name: &str) -> bool {
        let any = |patterns: &[String]| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
        };
        any(&self.watch) && !any(&self.ignore)
    }
}

/// `*` stands for any text, `?` for one byte.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        ([b'?', rest @ ..], [_, after @ ..]) => matches(rest, after),
        ([first, rest @ ..], [byte, after @ ..]) => first == byte && matches(rest, after),
        _ => false,
    }
}
