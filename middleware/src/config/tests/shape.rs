//! The shape of the file: names, tables, places, old spellings.

use std::path::Path;
use std::time::Duration;

use super::{accept, notices, refuse, refuse_as_is};
use crate::config::load::{from_file_and, from_file_or_default_and};
use crate::config::*;

/// The sample of the seed, with `[server]` given twice.
const SEED: &str = r#"[uploads]
chunked_uploads_enabled = true          # Enable chunked uploads
resumable_uploads_enabled = true        # Enable resumable functionality
chunk_size = "10MB"                     # Chunk size (optimized for performance)
max_resumable_age = "48h"               # Session persistence time

[timeouts]
readtimeout = "4800s"                   # 80 minutes (extended for large files)
writetimeout = "4800s"                  # 80 minutes (extended for large files)
idletimeout = "4800s"                   # 80 minutes (extended for large files)

[server]
enable_dynamic_workers = true           # Enable dynamic worker scaling
worker_scale_up_thresh = 50             # Scale up when queue reaches 50
worker_scale_down_thresh = 10           # Scale down when queue drops to 10

[workers]
numworkers = 4                          # Base number of workers
uploadqueuesize = 50                    # Upload queue size

[deduplication]
enabled = true                          # Enable file deduplication
maxsize = "1GB"                         # Deduplicate files under 1GB only

[server]
networkevents = true                    # Enable network monitoring
"#;

#[test]
fn the_sample_of_the_seed_names_both_tables() {
    assert_eq!(
        refuse(SEED),
        ["config.toml:25:2: [server] appears twice, on lines 12 and 25: merge them into one table"],
    );
}

#[test]
fn the_sample_of_the_seed_loads_once_merged() {
    let second = SEED.rfind("\n[server]\n").unwrap();
    let merged = SEED[..second].replace("[server]\n", "[server]\nnetworkevents = true\n");
    let loaded = accept(&merged);
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    assert_eq!(loaded.config.uploads.chunk_size, 10 << 20);
    assert_eq!(
        loaded.config.uploads.max_resumable_age,
        Duration::from_secs(48 * 3600)
    );
    assert!(loaded.config.server.networkevents);
}

#[test]
fn a_key_twice_names_both_lines() {
    assert_eq!(
        refuse("[uploads]\nchunk_size = \"5MB\"\n\nchunk_size = \"6MB\""),
        ["config.toml:4:1: uploads.chunk_size appears twice, on lines 2 and 4: keep one of them"],
    );
    let keys = "[[security.keys]]\nid = \"a\"\nsecret = \"0123456789abcdef\"\n[[security.keys]]\nid = \"b\"\nid = \"c\"\n";
    let problems = refuse_as_is(&format!("security.enabled = false\n{keys}"));
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("security.keys.id appears twice, on lines 6 and 7")),
        "{problems:#?}"
    );
    let inline = refuse("uploads = { chunk_size = \"5MB\", chunk_size = \"6MB\" }");
    assert!(
        inline[0].contains("chunk_size appears twice: keep one of them"),
        "{inline:#?}"
    );
}

#[test]
fn three_tables_and_their_other_problems_are_all_named() {
    let problems = refuse("[server]\nbnd = \"x\"\n[server]\n[server]\nmax_connections = 0");
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert!(problems[0].contains("unknown key server.bnd: did you mean \"bind\"?"));
    assert!(problems[1].contains("on lines 1 and 3"));
    assert!(problems[2].contains("config.toml:4:2: [server] appears twice"));
    assert!(problems[3].contains("server.max_connections: 0 is not allowed"));
}

#[test]
fn unknown_names_get_a_suggestion() {
    let problems = [
        (
            "[uploads]\nchunk_sise = 1",
            "config.toml:2:1: unknown key uploads.chunk_sise: did you mean \"chunk_size\"?",
        ),
        (
            "[upload]\n",
            "config.toml:1:2: unknown table upload: did you mean [uploads]?",
        ),
        (
            "[uploads]\nmax_upload_size = 1",
            "config.toml:2:1: unknown key uploads.max_upload_size: it belongs in [server]",
        ),
        (
            "chunk_size = 1",
            "config.toml:1:1: unknown table chunk_size: the key chunk_size belongs in [uploads]",
        ),
        (
            "[metrics]\n  colour = 1",
            "config.toml:2:3: unknown key metrics.colour: [metrics] has listen",
        ),
        (
            "[timeouts]\nenabled = false",
            "config.toml:2:1: unknown key timeouts.enabled: it belongs in [security] or [deduplication]",
        ),
        (
            "uploads = 5",
            "config.toml:1:1: [uploads] must be a table, not a value",
        ),
    ];
    for (text, problem) in problems {
        assert_eq!(refuse(text), [problem]);
    }
    assert!(refuse("[zzzzz]")[0].contains("unknown table zzzzz: there are server, uploads, "));
    let key = refuse(
        "[[security.keys]]\nid = \"a\"\nsecret = \"0123456789abcdef\"\nnot_aftr = 1\n[dialects]\n",
    );
    assert!(
        key.iter()
            .any(|problem| problem.contains("unknown key not_aftr: did you mean \"not_after\"?")),
        "{key:#?}"
    );
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_file() {
    let problems = refuse(
        "[workers]\nnumworkers = 0\n[uploads]\nchunk_sise = 1\nchunk_size = \"0KB\"\n[delivery]\npath = \"x\"",
    );
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| problem.split(':').nth(1).unwrap())
        .collect();
    assert_eq!(lines, ["2", "4", "5", "7"], "{problems:#?}");
}

#[test]
fn text_that_is_not_toml() {
    let problems = refuse("[uploads]\nchunk_size = \nmax_sessions = 0\n[oops\n");
    assert!(problems[0].starts_with("config.toml:2:"), "{problems:#?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.contains("not valid TOML: ")),
        "{problems:#?}"
    );
}

#[test]
fn old_spellings_are_understood_and_reported_once() {
    let old = r#"
[uploads]
chunkeduploadsenabled = false
[workers]
num_workers = 4
upload_queue_size = 50
[timeouts]
read_timeout = "4800s"
write_timeout = "4800s"
idle_timeout = "90s"
[server]
network_events = true
storagepath = "/srv/files"
[redis]
redisenabled = false
redisaddr = "127.0.0.1:6379"
"#;
    let config = accept(old).config;
    assert!(!config.uploads.chunked_uploads_enabled);
    assert_eq!(config.timeouts.idletimeout, Duration::from_secs(90));
    assert_eq!(config.delivery.storage_path, Path::new("/srv/files"));
    assert_eq!(config.sessions.store, SessionStore::Disk);
    assert_eq!(
        config.sessions.redis_url.expose(),
        "redis://127.0.0.1:6379/0"
    );
    let notices = notices(old);
    assert_eq!(notices.len(), 10, "{notices:#?}");
    assert_eq!(
        notices[0],
        "config.toml:3:1: uploads.chunkeduploadsenabled is an old spelling: write chunked_uploads_enabled",
    );
    assert_eq!(
        notices[7],
        "config.toml:13:1: server.storagepath is an old spelling: write storage_path in [delivery]",
    );
}

#[test]
fn redis_asked_for_in_the_old_way_is_had_in_the_new_one() {
    let config = accept("[redis]\nredisenabled = true\nredisaddr = \"localhost:6380\"").config;
    assert_eq!(config.sessions.store, SessionStore::Redis);
    assert_eq!(
        config.sessions.redis_url.expose(),
        "redis://localhost:6380/0"
    );
    assert_eq!(
        refuse("[redis]\nredis_enabld = true"),
        ["config.toml:2:1: unknown key redis.redis_enabld: what was in [redis] is in [sessions]"],
    );
}

#[test]
fn two_spellings_of_one_key_are_refused() {
    let problems = refuse("[workers]\nnumworkers = 4\nnum_workers = 4");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].contains("workers.numworkers is set twice under two spellings"),
        "{problems:#?}"
    );
}

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("my.toml");
    let missing = from_file_and(&path, []).unwrap_err().to_string();
    assert!(
        missing.starts_with(&format!("{}: cannot be read: ", path.display())),
        "{missing}"
    );
    assert_eq!(missing.lines().count(), 1);

    let unsigned = super::variables(&[("STEADFAST__SECURITY__SCHEMES", "path")]);
    let loaded = from_file_or_default_and(&path, unsigned.clone()).unwrap();
    assert_eq!(loaded.config.security.schemes, [Scheme::Path]);
    assert_eq!(loaded.notices.len(), 1);
    assert!(
        loaded.notices[0]
            .to_string()
            .ends_with("my.toml: not found: defaults are used")
    );

    std::fs::write(&path, "[uploads]\nchunk_size = \"0KB\"\n").unwrap();
    let refused = from_file_or_default_and(&path, unsigned)
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with(&format!(
            "{}:2:1: uploads.chunk_size: \"0KB\"",
            path.display()
        )),
        "{refused}"
    );

    std::fs::write(&path, [0xFF, 0xFE]).unwrap();
    assert!(
        from_file_or_default_and(&path, [])
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
    assert!(UploadConfig::from_file(&path).is_err());
}
