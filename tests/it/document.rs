//! Blocks of code in Markdown.

/// The blocks of `text` whose fence is followed by one of `languages`, in order and as they are.
pub(crate) fn blocks(text: &str, languages: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix("```"), &mut open) {
            (Some(rest), None) => open = Some((languages.contains(&rest.trim()), String::new())),
            (Some(_), Some(_)) => found.extend(open.take().filter(|(asked, _)| *asked)),
            (None, Some((_, block))) => block.push_str(line),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of code has no end");
    found.into_iter().map(|(_, block)| block).collect()
}
