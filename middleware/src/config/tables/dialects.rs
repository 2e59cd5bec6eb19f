use crate::config::key::{Key, key};
use crate::config::kind::{Choice, Flag, Text};
use crate::config::text;

/// `[dialects]`: the protocols that are spoken. Only the first is on by default, so that wrapping
/// an app takes no route from it unasked.
#[derive(Debug, Clone)]
pub struct Dialects {
    /// `/upload/chunked` and `/upload/status` (seed: network resilience guide).
    pub chunked: bool,
    /// `/upload/init`, `/upload/chunk`, `/upload/finalize` (seed: offline-first upload guide).
    pub staged: bool,
    /// tus 1.0 below `tus_path`.
    pub tus: bool,
    /// Resumable Uploads for HTTP (IETF draft), on any URL of the app.
    pub rufh: bool,
    /// Where tus is spoken.
    pub tus_path: String,
    /// Whether the staged dialect also answers on its alternative paths.
    pub aliases: bool,
    /// Where RUFH announces an upload with `104` before the final answer.
    pub rufh_104: Rufh104,
}

/// Where an interim `104` response is sent: proxies such as nginx break on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rufh104 {
    /// `"direct"`: to clients that connect without a trusted proxy in between.
    Direct,
    /// `"always"`: on every connection that can carry it.
    Always,
    /// `"never"`.
    Never,
}

const RUFH_104: &[(&str, Rufh104)] = &[
    ("direct", Rufh104::Direct),
    ("always", Rufh104::Always),
    ("never", Rufh104::Never),
];

impl Default for Dialects {
    fn default() -> Self {
        Self {
            chunked: true,
            staged: false,
            tus: false,
            rufh: false,
            tus_path: "/tus".to_owned(),
            aliases: false,
            rufh_104: Rufh104::Direct,
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let path = Text {
        expected: "a path such as \"/tus\", without a slash at its end",
        valid: |path| !path.is_empty() && text::is_url_prefix(path),
    };
    vec![
        key("dialects.chunked", Flag, |c| &mut c.dialects.chunked),
        key("dialects.staged", Flag, |c| &mut c.dialects.staged),
        key("dialects.tus", Flag, |c| &mut c.dialects.tus),
        key("dialects.rufh", Flag, |c| &mut c.dialects.rufh),
        key("dialects.tus_path", path, |c| &mut c.dialects.tus_path),
        key("dialects.aliases", Flag, |c| &mut c.dialects.aliases),
        key("dialects.rufh_104", Choice(RUFH_104), |c| {
            &mut c.dialects.rufh_104
        }),
    ]
}
