//! Checks between keys.

use super::{accept, refuse, refuse_as_is};
use crate::config::*;

const KEY: &str = "0123456789abcdef0123";

fn only(text: &str) -> String {
    let problems = refuse(text);
    assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
    problems[0].clone()
}

#[test]
fn chunk_sizes_are_in_order() {
    assert_eq!(
        only("[uploads]\nmin_chunk_size = \"128MB\""),
        "config.toml:2:1: uploads.min_chunk_size: \"128MB\" is more than max_chunk_size, \"64MB\"",
    );
    assert_eq!(
        only("[uploads]\nmax_chunk_size = \"1MB\""),
        "config.toml:2:1: uploads.chunk_size: \"5MB\" is not allowed: expected a size from 64KB to 1MB such as \"64KB\"",
    );
    let config =
        accept("[uploads]\nmin_chunk_size = 1\nchunk_size = \"1KB\"\nmax_chunk_size = \"1KB\"")
            .config;
    assert_eq!(
        (config.uploads.min_chunk_size, config.uploads.chunk_size),
        (1, 1024)
    );
}

#[test]
fn a_refused_value_is_not_judged_twice() {
    assert!(
        only("[uploads]\nmax_chunk_size = \"0\"")
            .contains("uploads.max_chunk_size: \"0\" is not allowed")
    );
    let problems = refuse_as_is("[security]\nschemes = [\"paht\"]");
    assert_eq!(
        problems,
        [
            "config.toml:2:12: security.schemes: \"paht\" is not allowed: expected \"message\" or \"path\""
        ]
    );
}

#[test]
fn workers() {
    let problem = only("[server]\nworker_scale_up_thresh = 5\nworker_scale_down_thresh = 5");
    assert!(problem.ends_with("server.worker_scale_down_thresh: 5 is not allowed: expected less than worker_scale_up_thresh, 5"));
    let problem = only("[workers]\nnumworkers = 9\nmax_workers = 8");
    assert!(
        problem.ends_with("workers.max_workers: 8 is not allowed: expected at least numworkers, 9")
    );
    let config = accept("[workers]\nnumworkers = 5000").config;
    assert_eq!(config.workers.max_workers, 5000);
}

#[test]
fn unfinished_uploads_are_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let served = directory.path().join("served");
    std::fs::create_dir(&served).unwrap();
    let store = |state: &str, storage: &str| {
        format!(
            "[uploads]\nstate_dir = {state:?}\n[delivery]\nmode = \"store\"\nstorage_path = {storage:?}"
        )
    };
    for (state, storage) in [
        ("uploads", "uploads"),
        ("uploads/state", "uploads"),
        ("./a/../uploads/x/", "uploads"),
    ] {
        let problem = only(&store(state, storage));
        assert!(
            problem.starts_with("config.toml:2:1: uploads.state_dir: "),
            "{problem}"
        );
        assert!(
            problem.ends_with(
                "expected a directory outside of delivery.storage_path, which is served"
            ),
            "{problem}"
        );
    }
    accept(&store("data/uploads", "uploads"));
    accept(&store("uploads-state", "uploads"));
    // In handler mode nothing is stored there.
    accept("[uploads]\nstate_dir = \"uploads/state\"");
    #[cfg(unix)]
    {
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&served, &link).unwrap();
        only(&store(
            &link.join("not yet there").to_string_lossy(),
            &served.to_string_lossy(),
        ));
    }
    let problem = only("[deduplication]\ndirectory = \"data\"");
    assert!(
        problem.contains("uploads.state_dir: \"data/uploads\" is not allowed"),
        "{problem}"
    );
    assert!(
        problem.ends_with("outside of deduplication.directory, which is served"),
        "{problem}"
    );
}

#[test]
fn one_source_of_secrets() {
    let security = |rest: &str| format!("[security]\nschemes = [\"path\"]\n{rest}");
    let keys = format!("[[security.keys]]\nid = \"a\"\nsecret = \"{KEY}\"\n");
    let refused = [
        format!("secret = \"{KEY}\"\nsecret_file = \"s\""),
        format!("secret = \"{KEY}\"\n{keys}"),
        format!("secret_file = \"s\"\n{keys}"),
    ];
    for text in refused {
        let problems = refuse_as_is(&security(&text));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0]
                .contains("is set as well: give one of secret, secret_file and [[security.keys]]")
        );
    }
    let both = format!(
        "{keys}[[security.keys]]\nid = \"b\"\nsecret = \"{KEY}\"\nnot_after = 2027-01-31T00:00:00Z\n"
    );
    let config = UploadConfig::from_toml(&security(&both)).unwrap().config;
    assert_eq!(config.security.keys.len(), 2);
    assert_eq!(config.security.keys[1].id, "b");
    let not_after = config.security.keys[1].not_after.unwrap();
    assert_eq!(
        humantime::format_rfc3339(not_after).to_string(),
        "2027-01-31T00:00:00Z"
    );
    assert!(config.effective().contains(
        "keys = [{ id = \"a\", secret = \"***\" }, { id = \"b\", secret = \"***\", not_after = "
    ));
}

#[test]
fn keys() {
    let keys = |lines: &str| {
        let problems = refuse_as_is(&format!(
            "[security]\nschemes = [\"path\"]\n[[security.keys]]\n{lines}"
        ));
        problems.join("\n")
    };
    let good = format!("id = \"a\"\nsecret = \"{KEY}\"\n");
    assert!(
        keys(&format!("{good}[[security.keys]]\n{good}"))
            .ends_with("security.keys: the id \"a\" is given twice")
    );
    assert_eq!(
        keys(&format!("secret = \"{KEY}\"")),
        "config.toml:3:1: security.keys: id is missing"
    );
    assert!(keys("id = \"a\"").ends_with("security.keys: secret is missing"));
    for id in ["", "a b", "\u{fc}", "a\\n"] {
        assert!(
            keys(&format!("id = \"{id}\"\nsecret = \"{KEY}\""))
                .contains("config.toml:4:1: security.keys: id \"")
        );
    }
    assert!(
        keys(&format!("id = 5\nsecret = \"{KEY}\"")).contains("security.keys: id 5 is not allowed")
    );
    assert!(keys("id = \"a\"\nsecret = \"short\"").ends_with("config.toml:5:1: security.keys: the secret has 5 bytes: at least 16 are needed, better 32 random ones"));
    for time in ["2027-01-31", "\"soon\"", "5", "2027-01-31T00:00:00"] {
        assert!(
            keys(&format!("{good}not_after = {time}"))
                .contains("config.toml:6:1: security.keys: not_after "),
            "{time}"
        );
    }
    let single = refuse_as_is(&format!(
        "[security]\nschemes = [\"path\"]\n[security.keys]\n{good}"
    ))
    .join("\n");
    assert!(single.ends_with("security.keys: a table is not allowed: expected a list of tables, each under its own [[security.keys]]"), "{single}");
}

#[test]
fn somebody_can_sign_in() {
    let problems = refuse_as_is("[security]\nschemes = []");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("nobody could sign in"));
    UploadConfig::from_toml("[security]\nschemes = []\nenabled = false").unwrap();
}

#[test]
fn a_certificate_comes_with_its_key() {
    let refused = [
        ("tls_cert = \"c.pem\"", "tls_cert: server.tls_key"),
        ("tls_key = \"k.pem\"", "tls_key: server.tls_cert"),
        (
            "tls_client_ca = \"ca.pem\"",
            "tls_client_ca: server.tls_cert and server.tls_key",
        ),
    ];
    for (line, problem) in refused {
        assert_eq!(
            only(&format!("[server]\n{line}")),
            format!("config.toml:2:1: server.{problem} must be set as well"),
        );
    }
    let pair = "[server]\ntls_cert = \"c.pem\"\ntls_key = \"k.pem\"\n";
    accept(pair);
    assert_eq!(
        only(&format!("{pair}tls_client_ca = 5")),
        "config.toml:4:1: server.tls_client_ca: 5 is not allowed: expected a path",
    );
}
