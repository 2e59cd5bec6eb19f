//! The environment as a source: `STEADFAST__UPLOADS__CHUNK_SIZE=10MB`.

use std::ffi::OsString;

use super::error::Problem;
use super::key::Key;
use super::raw::Draft;

const PREFIX: &str = "STEADFAST__";

/// Reads the variables with our prefix; no variable of ours is passed over in silence.
pub(super) fn read<'k>(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    keys: &'k [Key],
) -> Draft<'k> {
    let mut draft = Draft::new(keys);
    for (variable, value) in variables {
        let variable = variable.to_string_lossy();
        let Some(path) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let at = format!("environment {variable}");
        let path = path.to_ascii_lowercase();
        let (Some((table, name)), Some(value)) = (path.split_once("__"), value.to_str()) else {
            let text = if value.to_str().is_none() {
                "the value is not UTF-8 text"
            } else {
                "expected a name such as STEADFAST__UPLOADS__CHUNK_SIZE"
            };
            draft.problems.push(Problem::new(at, text));
            continue;
        };
        draft.put(&at, table, name, |key| key.read_text(value));
    }
    draft
}
