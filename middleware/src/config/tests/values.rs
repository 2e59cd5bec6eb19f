//! Single values: what is read, what is refused and in which words.

use std::time::Duration;

use super::{accept, refuse};
use crate::config::units::{GB, KB, MB};
use crate::config::*;

/// `table.key = value` as a file of one table, a key that is not in `[security]`.
fn file(path: &str, value: &str) -> String {
    let (table, key) = path.split_once('.').unwrap();
    format!("[{table}]\n{key} = {value}")
}

/// The one problem with `path` set to `value`.
fn refuse_value(path: &str, value: &str) -> String {
    let text = match path.split_once('.').unwrap() {
        ("security", key) => format!("[security]\nschemes = [\"path\"]\n{key} = {value}"),
        _ => format!("[security]\nenabled = false\n{}", file(path, value)),
    };
    let problems = super::refuse_as_is(&text);
    assert_eq!(problems.len(), 1, "{path} = {value}: {problems:#?}");
    problems[0].clone()
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in [
        "",
        "[uploads]\n[server]\n[timeouts]\n[workers]\n[deduplication]\n[network]",
    ] {
        let loaded = accept(text);
        let mut config = loaded.config;
        assert_eq!(config.security.schemes, [Scheme::Path]);
        config.security.schemes = vec![Scheme::Message];
        assert_eq!(config.effective(), UploadConfig::default().effective());
        assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    }
}

#[test]
fn booleans_that_are_not_set_keep_their_defaults() {
    let config = accept("[server]\n[uploads]\n[deduplication]\n[network]").config;
    assert!(config.uploads.chunked_uploads_enabled && config.uploads.resumable_uploads_enabled);
    assert!(config.server.enable_dynamic_workers && config.server.networkevents);
    assert!(config.deduplication.enabled && config.security.enabled);
}

#[test]
fn the_documented_defaults() {
    let config = UploadConfig::default();
    assert_eq!(config.server.bind, "127.0.0.1:8080");
    assert_eq!(config.server.max_upload_size, 10 * GB);
    assert_eq!(config.server.max_header_size, 32 * KB);
    assert_eq!(config.uploads.chunk_size, 5_242_880);
    assert_eq!(
        (config.uploads.min_chunk_size, config.uploads.max_chunk_size),
        (64 * KB, 64 * MB)
    );
    assert_eq!(
        config.uploads.max_resumable_age,
        Duration::from_secs(86_400)
    );
    assert_eq!(config.uploads.first_byte_timeout, Duration::from_secs(600));
    assert_eq!(config.uploads.min_free_space, GB);
    assert_eq!(
        (
            config.delivery.path.as_str(),
            config.delivery.method.as_str()
        ),
        ("/upload", "POST")
    );
    assert_eq!(config.delivery.finalize_wait, Duration::from_secs(20));
    assert_eq!(config.security.schemes, [Scheme::Message]);
    assert_eq!(config.timeouts.readtimeout, Duration::from_secs(4800));
    assert_eq!(
        (config.workers.numworkers, config.workers.uploadqueuesize),
        (4, 50)
    );
    assert_eq!(config.deduplication.maxsize, GB);
    assert!(config.dialects.chunked && !config.dialects.staged);
}

#[test]
fn sizes() {
    let size = |value: &str| {
        accept(&file("uploads.chunk_size", value))
            .config
            .uploads
            .chunk_size
    };
    assert_eq!(size("\"10 MB\""), 10 * MB);
    assert_eq!(size("\"1.5MB\""), 1_572_864);
    assert_eq!(size("\"65536\""), 64 * KB);
    assert_eq!(size("65536"), 64 * KB);
    assert_eq!(size("\"64KiB\""), 64 * KB);
    assert_eq!(size("\"64MB\""), 64 * MB);
    let config = accept(&file("server.max_upload_size", "\"1.5GB\"")).config;
    assert_eq!(config.server.max_upload_size, 1_610_612_736);
}

#[test]
fn sizes_that_are_not_allowed_name_the_key_and_the_range() {
    assert_eq!(
        refuse(&file("uploads.chunk_size", "\"0KB\"")),
        [
            "config.toml:2:1: uploads.chunk_size: \"0KB\" is not allowed: expected a size from 64KB to 64MB such as \
             \"5MB\"",
        ],
    );
    for value in ["\"8192\"", "\"1.5GB\"", "\"1TB\"", "\"63KB\"", "0", "8192"] {
        let problem = refuse_value("uploads.chunk_size", value);
        let expected = format!(
            "uploads.chunk_size: {value} is not allowed: expected a size from 64KB to 64MB"
        );
        assert!(problem.contains(&expected), "{problem}");
    }
    for value in [
        "\"-1MB\"",
        "\"\"",
        "\"5 apples\"",
        "-1",
        "5.0",
        "true",
        "[]",
        "{ a = 1 }",
        "2027-01-01",
        "\"99EB\"",
    ] {
        let problem = refuse_value("uploads.chunk_size", value);
        assert!(problem.contains("uploads.chunk_size: "), "{problem}");
        assert!(
            problem.contains(" is not allowed: expected a size such as \"5MB\""),
            "{problem}"
        );
    }
    for path in [
        "server.max_upload_size",
        "uploads.min_rate",
        "deduplication.maxsize",
        "uploads.min_chunk_size",
    ] {
        assert!(refuse_value(path, "\"0\"").contains(&format!(
            "{path}: \"0\" is not allowed: expected a size from 1"
        )));
    }
}

#[test]
fn wrong_types_say_what_was_found() {
    let found = |path: &str, value: &str| {
        refuse_value(path, value)
            .split_once(": ")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(
        found("uploads.chunked_uploads_enabled", "\"yes\""),
        "uploads.chunked_uploads_enabled: \"yes\" is not allowed: expected true or false",
    );
    assert_eq!(
        found("workers.numworkers", "\"4\""),
        "workers.numworkers: \"4\" is not allowed: expected a whole number from 1 to 65536 such as 4",
    );
    assert_eq!(
        found("delivery.mode", "7"),
        "delivery.mode: 7 is not allowed: expected \"handler\" or \"store\""
    );
    assert_eq!(
        found("delivery.forward_headers", "\"X-A\""),
        "delivery.forward_headers: a text is not allowed: expected a list such as [\"...\"]",
    );
    assert_eq!(
        found("uploads.state_dir", "{ path = \"x\" }"),
        "uploads.state_dir: a table is not allowed: expected a path",
    );
    assert_eq!(
        found("server.max_connections", "99999999999999999999"),
        "server.max_connections: \"99999999999999999999\" is not allowed: expected a whole number from 1 to 1000000 \
         such as 4096",
    );
    let long = "x".repeat(500);
    assert!(found("logging.level", &format!("\"{long}\"")).len() < 300);
}

#[test]
fn durations() {
    let age = |value: &str| {
        accept(&file("uploads.max_resumable_age", value))
            .config
            .uploads
            .max_resumable_age
    };
    assert_eq!(age("\"4800s\""), Duration::from_secs(4800));
    assert_eq!(age("\"48h\""), Duration::from_secs(48 * 3600));
    assert_eq!(age("\"1h30m\""), Duration::from_secs(5400));
    assert_eq!(age("\"250ms\""), Duration::from_millis(250));
}

#[test]
fn durations_that_are_not_allowed() {
    for path in [
        "network.poll_interval",
        "network.settle",
        "network.max_pause",
        "uploads.max_resumable_age",
        "uploads.result_retention",
        "uploads.first_byte_timeout",
        "uploads.stall_timeout",
        "timeouts.readtimeout",
        "timeouts.writetimeout",
        "timeouts.idletimeout",
        "timeouts.header_timeout",
        "delivery.timeout",
    ] {
        for value in [
            "\"0s\"",
            "\"-5s\"",
            "\"\"",
            "\"soon\"",
            "true",
            "\"99999y\"",
        ] {
            let problem = refuse_value(path, value);
            assert!(
                problem.contains(&format!(
                    "{path}: {value} is not allowed: expected a duration from 1ms to "
                )),
                "{problem}"
            );
        }
        for value in ["30", "0", "1.5", "\"30\""] {
            let problem = refuse_value(path, value);
            assert!(
                problem.contains(&format!(
                    "{path}: {value} is not allowed: expected a duration with its unit, "
                )),
                "{problem}"
            );
        }
    }
    assert!(
        refuse_value("security.max_skew", "\"0s\"")
            .contains("security.max_skew: \"0s\" is not allowed")
    );
    assert!(
        accept("[timeouts]\nshutdown = \"0s\"")
            .config
            .timeouts
            .shutdown
            .is_zero()
    );
}

#[test]
fn counts() {
    for path in [
        "server.max_connections",
        "workers.numworkers",
        "workers.uploadqueuesize",
        "delivery.max_concurrent",
    ] {
        for value in ["0", "-1", "1.5", "\"many\"", "100000000000"] {
            let problem = refuse_value(path, value);
            assert!(
                problem.contains(&format!("{path}: "))
                    && problem.contains("expected a whole number from 1 to"),
                "{problem}"
            );
        }
    }
    assert_eq!(
        accept("[uploads]\nmax_sessions = 0")
            .config
            .uploads
            .max_sessions,
        0
    );
}

#[test]
fn texts() {
    let refused = [
        ("server.bind", "\"8080\""),
        ("server.name", "\"node.1\""),
        ("server.name", "\"Node\""),
        ("server.name", "\"\""),
        ("server.advertise", "\"node.example\""),
        ("server.public_base", "\"/x/\""),
        ("server.public_base", "\"x\""),
        ("server.trusted_proxies", "[\"localhost\"]"),
        ("delivery.path", "\"upload\""),
        ("delivery.path", "\"/upload?x=1\""),
        ("delivery.method", "\"post\""),
        ("delivery.method", "\"GET\""),
        ("delivery.form", "\"json\""),
        ("delivery.field", "\"\""),
        ("delivery.storage_path", "\"\""),
        ("delivery.on_conflict", "\"replace\""),
        ("security.protect", "[\"upload\"]"),
        ("security.allow", "[\"10.0.0.1/8\"]"),
        ("security.deny", "[\"10.0.0.0/33\"]"),
        ("sessions.redis_url", "\"127.0.0.1:6379\""),
        ("metrics.listen", "\"9090\""),
        ("logging.level", "\"inof\""),
        ("logging.format", "\"xml\""),
        ("network.watch", "[\"a b\"]"),
        ("dialects.tus_path", "\"tus\""),
    ];
    for (path, value) in refused {
        let problem = refuse_value(path, value);
        assert!(
            problem.contains(&format!("{path}: ")) && problem.contains("is not allowed: expected "),
            "{problem}"
        );
    }
    let config =
        accept("[server]\nbind = \"localhost:0\"\nname = \"node-1\"\npublic_base = \"/x\"").config;
    assert_eq!(
        (config.server.bind.as_str(), config.server.name.as_deref()),
        ("localhost:0", Some("node-1"))
    );
}

#[test]
fn an_element_of_a_list_has_its_own_place() {
    let problems = refuse(
        "[delivery]\nforward_headers = [\n  \"Authorization\",\n  \"X-Forwarded-For\",\n  \"Host\",\n]",
    );
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with(
        "config.toml:4:3: delivery.forward_headers: \"X-Forwarded-For\" is not allowed"
    ));
    assert!(
        problems[1]
            .starts_with("config.toml:5:3: delivery.forward_headers: \"Host\" is not allowed")
    );
}

#[test]
fn secrets_are_never_repeated() {
    let long = "5f4dcc3b5aa765d61d8327deb882cf99";
    let problems = super::refuse_as_is(&format!(
        "[security]\nschemes = [\"path\"]\nsecret = [\"{long}\"]\nkeys = \"{long}\"\nsecrett = \"{long}\"\n\
         [sessions]\nredis_url = \"http://:{long}@h\"",
    ));
    assert!(problems.len() >= 4, "{problems:#?}");
    assert!(!problems.concat().contains(long), "{problems:#?}");
    let text = format!(
        "[security]\nschemes = [\"path\"]\nsecret = \"{long}\"\n[sessions]\nredis_url = \"redis://:{long}@h\"\n",
    );
    let loaded = UploadConfig::from_toml(&text).unwrap();
    assert_eq!(
        loaded.config.security.secret.as_ref().unwrap().expose(),
        long.as_bytes()
    );
    assert!(!format!("{loaded:?} {}", loaded.config.effective()).contains(long));
    assert!(loaded.config.effective().contains("secret = \"***\""));
    assert!(
        refuse_value("security.secret", "\"changeme\"")
            .contains("security.secret: the secret is a placeholder")
    );
    assert!(
        refuse_value("security.secret", "\"tooshort\"")
            .contains("security.secret: the secret has 8 bytes")
    );
}
