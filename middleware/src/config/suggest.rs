//! "Did you mean": the known name nearest to an unknown one.

/// The candidate that differs from `name` in a few letters at most; `None` if none is near.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = letters(name);
    let measured = candidates.into_iter().map(|candidate| {
        (
            strsim::damerau_levenshtein(&plain, &letters(candidate)),
            candidate,
        )
    });
    let (distance, candidate) = measured.min_by_key(|(distance, _)| *distance)?;
    let near = distance <= (plain.len().max(3) / 3).min(4);
    near.then_some(candidate)
}

/// The name without its separators: what `chunk_size`, `chunk-size` and `ChunkSize` share.
pub(super) fn letters(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '_' | '-'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far() {
        let known = ["chunk_size", "min_chunk_size", "state_dir", "path"];
        assert_eq!(nearest("chunk_sise", known), Some("chunk_size"));
        assert_eq!(nearest("chunksize", known), Some("chunk_size"));
        assert_eq!(nearest("statedirs", known), Some("state_dir"));
        assert_eq!(nearest("pathh", known), Some("path"));
        assert_eq!(nearest("bandwidth", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("", known), None);
    }
}
