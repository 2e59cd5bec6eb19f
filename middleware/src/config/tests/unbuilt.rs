//! What can be asked for and is not there yet.

use super::{notices, refuse};
use crate::config::UploadConfig;

#[test]
fn what_would_weaken_security_or_move_data_is_refused() {
    let refused = [("[storage]\nbackend = \"s3\"", "storage.backend: \"s3\"")];
    for (text, start) in refused {
        let problems = refuse(text);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with(&format!("config.toml:2:1: {start} is not available yet: ")),
            "{problems:#?}"
        );
    }
}

#[test]
fn the_rest_has_no_effect_and_says_so() {
    let idle = [
        (
            "[dialects]\nstaged = true",
            "dialects.staged: true has no effect yet",
        ),
        (
            "[dialects]\ntus = true",
            "dialects.tus: true has no effect yet",
        ),
        (
            "[dialects]\nrufh = true",
            "dialects.rufh: true has no effect yet",
        ),
    ];
    for (text, notice) in idle {
        assert_eq!(notices(text), [format!("config.toml:2:1: {notice}")]);
    }
}

#[test]
fn what_is_built_or_turned_off_needs_no_notice() {
    let quiet = [
        "[uploads]\ndurability = \"process\"\nfirst_byte_timeout = \"1m\"\nmax_sessions = 1\nmin_free_space = 0\nmax_reserved_per_owner = \"1GB\"\nresult_retention = \"1h\"",
        "[sessions]\nstore = \"memory\"",
        "[server]\nnetworkevents = false\nenable_dynamic_workers = false\nworker_scale_up_thresh = 60\nworker_scale_down_thresh = 5\nname = \"a\"",
        "[deduplication]\ndirectory = \"d\"\nmaxsize = \"1MB\"\nmethod = \"hardlink\"\ntimes = \"newest\"\n",
        "[delivery]\non_unknown = \"hold\"\nform = \"raw\"\nmode = \"store\"\n",
        "[metrics]\nlisten = \"127.0.0.1:1\"\n[workers]\nnumworkers = 5\nuploadqueuesize = 60\nmax_workers = 100",
        "[network]\nsettle = \"1s\"\nwatch = [\"eth*\"]",
        "[uploads]\nstall_timeout = \"1s\"\nmin_rate = \"2KB\"",
        "[server]\ntrusted_proxies = [\"::1\"]\n[limits]\nrequests_per_second = 1\nburst = 1\nbandwidth = \"1KB\"",
        "[server]\ntls_cert = \"c.pem\"\ntls_key = \"k.pem\"\ntls_client_ca = \"ca.pem\"",
        "[timeouts]\nreadtimeout = \"1s\"\nwritetimeout = \"1s\"",
    ];
    for text in quiet {
        assert_eq!(notices(text), [""; 0], "{text}");
    }
    let security = "[security]\nschemes = [\"message\"]\nsign_chunks = true\nmax_skew = \"60s\"";
    let loaded = UploadConfig::from_toml(security).unwrap();
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    let lists = "[security]\nschemes = [\"path\"]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"::1\"]";
    assert!(UploadConfig::from_toml(lists).unwrap().notices.is_empty());
}
