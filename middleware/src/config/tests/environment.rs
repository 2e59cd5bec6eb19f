//! `STEADFAST__TABLE__KEY`.

use std::time::Duration;

use super::{accept_with, refuse_with};
use crate::config::*;

#[test]
fn the_environment_wins_over_the_file() {
    let file =
        "[uploads]\nchunk_size = \"10MB\"\nmax_resumable_age = \"48h\"\n[workers]\nnumworkers = 8";
    let config = accept_with(
        file,
        &[
            ("STEADFAST__UPLOADS__CHUNK_SIZE", "20MB"),
            ("STEADFAST__WORKERS__NUM_WORKERS", "6"),
            ("STEADFAST__SERVER__NETWORKEVENTS", "false"),
            ("STEADFAST__SERVER__NAME", "7"),
            ("STEADFAST_SECRET", "not ours"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(config.uploads.chunk_size, 20 << 20);
    assert_eq!(
        config.uploads.max_resumable_age,
        Duration::from_secs(48 * 3600)
    );
    assert_eq!(config.workers.numworkers, 6);
    assert!(!config.server.networkevents);
    assert_eq!(config.server.name.as_deref(), Some("7"));
}

#[test]
fn lists() {
    let config = |value| {
        accept_with("", &[("STEADFAST__SECURITY__PROTECT", value)])
            .security
            .protect
    };
    assert_eq!(config("/upload"), ["/upload"]);
    assert_eq!(config("/upload, /other"), ["/upload", "/other"]);
    assert_eq!(config("[\"/a,b\"]"), ["/a,b"]);
    assert_eq!(config(""), [""; 0]);
    let keys = "[{ id = \"a\", secret = \"0123456789abcdef\", not_after = 2027-01-01T00:00:00Z }]";
    let config = accept_with("", &[("STEADFAST__SECURITY__KEYS", keys)]);
    assert_eq!(config.security.keys[0].id, "a");
    assert!(config.security.keys[0].not_after.is_some());
}

#[test]
fn problems_name_the_variable() {
    let refused = [
        (
            "STEADFAST__UPLOADS__CHUNK_SIZE",
            "0KB",
            "uploads.chunk_size: \"0KB\" is not allowed: expected a size from 64KB to 64MB such as \"5MB\"",
        ),
        (
            "STEADFAST__UPLOADS__CHUNK_SISE",
            "5MB",
            "unknown key uploads.chunk_sise: did you mean \"chunk_size\"?",
        ),
        (
            "STEADFAST__UPLOAD__CHUNK_SIZE",
            "5MB",
            "unknown table upload: did you mean [uploads]?",
        ),
        (
            "STEADFAST__UPLOADS",
            "5MB",
            "expected a name such as STEADFAST__UPLOADS__CHUNK_SIZE",
        ),
        (
            "STEADFAST__WORKERS__NUMWORKERS",
            "four",
            "workers.numworkers: \"four\" is not allowed",
        ),
        (
            "STEADFAST__WORKERS__NUMWORKERS",
            "-1",
            "workers.numworkers: -1 is not allowed",
        ),
        (
            "STEADFAST__SERVER__NETWORKEVENTS",
            "yes",
            "server.networkevents: \"yes\" is not allowed: expected true or false",
        ),
        (
            "STEADFAST__SECURITY__PROTECT",
            "/a,b",
            "security.protect: \"b\" is not allowed",
        ),
        (
            "STEADFAST__SECURITY__KEYS",
            "[{ id = \"a\" }]",
            "security.keys: secret is missing",
        ),
    ];
    for (variable, value, text) in refused {
        let problems = refuse_with("", &[(variable, value)]);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with(&format!("environment {variable}: {text}")),
            "{}",
            problems[0]
        );
    }
}

#[test]
fn a_secret_in_the_environment_is_not_repeated() {
    let problems = refuse_with(
        "",
        &[
            ("STEADFAST__SECURITY__KEYS", "hunter2hunter2"),
            ("STEADFAST__SECURITY__SECRET", "hunter2"),
        ],
    );
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(!problems.concat().contains("hunter2"), "{problems:#?}");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_text() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(vec![0xFF]);
    let variables = [("STEADFAST__SERVER__NAME".into(), value)];
    let error = load::load("config.toml", super::SIGNED, variables)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "environment STEADFAST__SERVER__NAME: the value is not UTF-8 text"
    );
}
