//! Just enough understanding of Rust source to check the rules of the house.

/// `text` with the contents of comments and literals replaced by blanks, line for line.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = blank_len(rest, out.chars().next_back());
        if len == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        out.extend(rest[..len].chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[len..];
    }
    out
}

/// How many bytes at the start of `rest` are a comment or a literal.
fn blank_len(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(hashes) = raw_string(rest).filter(|_| !in_word) {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = rest.find('"').map_or(rest.len(), |at| at + 1);
        return rest[start..]
            .find(&end)
            .map_or(rest.len(), |at| start + at + end.len());
    }
    match rest.as_bytes()[0] {
        b'"' => quoted(rest, '"'),
        b'\'' if is_char(rest) => quoted(rest, '\''),
        _ => 0,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The number of `#` where a raw string starts.
fn raw_string(rest: &str) -> Option<usize> {
    let marked = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let unmarked = marked.trim_start_matches('#');
    unmarked
        .starts_with('"')
        .then(|| marked.len() - unmarked.len())
}

/// Whether a quote starts a character, not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    matches!(
        (chars.next(), chars.next()),
        (Some('\\'), _) | (Some(_), Some('\''))
    )
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `code` without the items that are compiled for tests only, line for line.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        let (_, end) = item_span(item, MARK.len());
        out.push_str(before);
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

/// Where the body of the item that starts at `from` begins and ends; both the same for an item that
/// ends with a semicolon.
fn item_span(code: &str, from: usize) -> (usize, usize) {
    let (mut brackets, mut braces, mut start) = (0_isize, 0_isize, None);
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => {
                start.get_or_insert(at);
                braces += 1;
            }
            b'}' => braces -= 1,
            _ => {}
        }
        let ended = match byte {
            b'}' => braces == 0 && brackets == 0,
            b';' => braces == 0 && brackets == 0,
            _ => false,
        };
        if ended || braces < 0 {
            return (start.unwrap_or(at + 1), at + 1);
        }
    }
    (code.len(), code.len())
}

/// A function: its name, the line it starts on (from 1), and how many lines it has.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// The functions of `code`, those inside others too.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let words = word_starts(code, "fn ");
    let function = |at: usize| {
        let name: String = code[at + 3..]
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let (_, end) = item_span(code, at);
        let lines = code[at..end].matches('\n').count() + 1;
        (!name.is_empty()).then(|| Function {
            name,
            line: line_of(code, at),
            lines,
        })
    };
    words.into_iter().filter_map(function).collect()
}

/// The line of a position, from 1.
pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Where `word` occurs and is not the end of a longer word or of a path.
pub(crate) fn word_starts(code: &str, word: &str) -> Vec<usize> {
    let starts = code.match_indices(word).map(|(at, _)| at);
    starts
        .filter(|at| {
            let before = code[..*at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
        .collect()
}

/// What follows a prefix such as `crate::` in paths and imports: each alternative of a group, as
/// text up to its own end, with the position of the prefix.
pub(crate) fn paths<'a>(code: &'a str, prefix: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for at in word_starts(code, prefix) {
        let rest = &code[at + prefix.len()..];
        match rest.trim_start().strip_prefix('{') {
            Some(group) => found.extend(alternatives(group).into_iter().map(|path| (at, path))),
            None => found.push((at, first_path(rest))),
        }
    }
    found
}

/// The members of a group whose opening brace is gone.
fn alternatives(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' | b',' if depth == 0 => {
                found.push(group[start..at].trim());
                start = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|path| !path.is_empty());
    found
}

/// A path up to its end, with the group it may end in.
fn first_path(rest: &str) -> &str {
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(rest.len());
    let is_group = rest[..end].ends_with("::") && rest[end..].starts_with('{');
    let group = if is_group {
        rest[end..].find('}').map_or(0, |at| at + 1)
    } else {
        0
    };
    &rest[..end + group]
}

/// The first name of a path.
pub(crate) fn head(path: &str) -> &str {
    let end = path
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(path.len());
    &path[..end]
}
