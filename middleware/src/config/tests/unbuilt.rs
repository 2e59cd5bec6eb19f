//! What can be asked for and is not there yet.

use super::{notices, refuse, refuse_as_is};
use crate::config::UploadConfig;

#[test]
fn what_would_weaken_security_or_move_data_is_refused() {
    let refused = [
        (
            "[limits]\nrequests_per_second = 1",
            "limits.requests_per_second: 1",
        ),
        ("[limits]\nburst = 1", "limits.burst: 1"),
        ("[limits]\nbandwidth = \"1KB\"", "limits.bandwidth: \"1KB\""),
        ("[storage]\nbackend = \"s3\"", "storage.backend: \"s3\""),
    ];
    for (text, start) in refused {
        let problems = refuse(text);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with(&format!("config.toml:2:1: {start} is not available yet: ")),
            "{problems:#?}"
        );
    }
    for line in [
        "sign_chunks = true",
        "allow = [\"10.0.0.0/8\"]",
        "deny = [\"10.0.0.0/8\"]",
    ] {
        let problems = refuse_as_is(&format!("[security]\nschemes = [\"path\"]\n{line}"));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with("config.toml:3:1: security.")
                && problems[0].contains(" is not available yet: ")
        );
    }
}

#[test]
fn signatures_of_messages() {
    let problem = |file: &str| {
        format!(
            "{file}: security.schemes: \"message\" is not available yet: write schemes = [\"path\"] under [security], or \
         enabled = false to let everyone in",
        )
    };
    assert_eq!(refuse_as_is(""), [problem("config.toml")]);
    assert_eq!(
        refuse_as_is("[security]\nschemes = [\"message\"]"),
        [problem("config.toml:2:1")]
    );
    let both = UploadConfig::from_toml("[security]\nschemes = [\"message\", \"path\"]").unwrap();
    assert_eq!(both.notices.len(), 1);
    assert_eq!(
        both.notices[0].to_string(),
        "config.toml:2:1: security.schemes: \"message\" is not available yet: only \"path\" is accepted",
    );
    assert!(
        UploadConfig::from_toml("[security]\nenabled = false")
            .unwrap()
            .notices
            .is_empty()
    );
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
        (
            "[server]\ntrusted_proxies = [\"::1\"]",
            "server.trusted_proxies: [\"::1\"] has no effect yet",
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
        "[server]\ntls_cert = \"c.pem\"\ntls_key = \"k.pem\"\ntls_client_ca = \"ca.pem\"",
        "[timeouts]\nreadtimeout = \"1s\"\nwritetimeout = \"1s\"",
    ];
    for text in quiet {
        assert_eq!(notices(text), [""; 0], "{text}");
    }
}
