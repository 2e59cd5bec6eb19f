//! The list of keys, the structs, the bundled file and the printed configuration say the same.

use std::collections::BTreeSet;

use crate::config::key::Key;
use crate::config::tables::keys;
use crate::config::*;

const BUNDLED: &str = include_str!("../../../../config.toml");
const MARK: &str = "# example server";
const LATER: &str = "(later)";

/// The keys of the bundled file by path, with their lines: set ones as they are, others without
/// the `#` in front.
struct Lines {
    set: Vec<(String, String)>,
    unset: Vec<(String, String)>,
}

fn lines() -> Lines {
    let (mut set, mut unset) = (Vec::new(), Vec::new());
    let mut table = String::new();
    let mut in_key = false;
    for line in BUNDLED.lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = header.split_once(']').unwrap().0.to_owned();
        }
        if line.starts_with("# [[security.keys]]") {
            unset.push(("security.keys".to_owned(), String::new()));
        }
        in_key = line.starts_with("# [[") || (in_key && !line.is_empty());
        let (list, line) = match line.strip_prefix("# ") {
            Some(rest) => (&mut unset, rest),
            None => (&mut set, line),
        };
        let is_name = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if let Some((name, _)) = line
            .split_once(" = ")
            .filter(|(name, _)| is_name(name) && !in_key)
        {
            list.push((format!("{table}.{name}"), line.to_owned()));
        }
    }
    Lines { set, unset }
}

fn paths(lines: &[(String, String)]) -> BTreeSet<&str> {
    lines.iter().map(|(path, _)| path.as_str()).collect()
}

#[test]
fn it_loads_without_notices() {
    let loaded = UploadConfig::from_toml(BUNDLED).unwrap();
    assert!(loaded.notices.is_empty(), "{:#?}", loaded.notices);
}

#[test]
fn every_key_is_in_it_once() {
    let Lines { set, unset } = lines();
    let mut found: Vec<_> = set
        .iter()
        .chain(&unset)
        .map(|(path, _)| path.as_str())
        .collect();
    let mut declared: Vec<_> = keys().iter().map(|key| key.path).collect();
    found.sort_unstable();
    declared.sort_unstable();
    assert_eq!(found, declared);
}

#[test]
fn it_sets_the_defaults_but_for_the_marked_lines() {
    let config = UploadConfig::from_toml(BUNDLED).unwrap().config;
    let defaults = UploadConfig::default();
    let differing: Vec<_> = keys()
        .iter()
        .filter(|key| key.show(&config) != key.show(&defaults))
        .map(|key| key.path)
        .collect();
    let Lines { set, .. } = lines();
    let marked: Vec<_> = set
        .iter()
        .filter(|(_, line)| line.ends_with(MARK))
        .map(|(path, _)| path.as_str())
        .collect();
    let expected = [
        "security.schemes",
        "security.protect",
        "deduplication.directory",
        "deduplication.method",
        "deduplication.times",
    ];
    assert_eq!(marked, expected);
    assert_eq!(differing, marked);
    // A key that has a default is set, so that the default can be read there; one default depends
    // on the machine.
    let defaulted: BTreeSet<_> = keys()
        .iter()
        .filter(|key| key.show(&defaults).is_some())
        .map(|key| key.path)
        .collect();
    let missing: Vec<_> = defaulted.difference(&paths(&set)).copied().collect();
    assert_eq!(missing, ["security.keys", "workers.max_workers"]);
}

#[test]
fn its_examples_can_be_used() {
    for (path, line) in lines().unset {
        if path == "security.keys" {
            continue;
        }
        let (table, name) = path.split_once('.').unwrap();
        let text = format!("[{table}]\n{line}\n");
        let problems = UploadConfig::from_toml(&text)
            .err()
            .map(|error| error.problems().collect::<Vec<_>>());
        let invalid = problems
            .unwrap_or_default()
            .into_iter()
            .filter(|problem| !problem.contains("is not available yet"))
            // A certificate and its key are examples side by side.
            .filter(|problem| !problem.ends_with("must be set as well"));
        let invalid: Vec<_> = invalid.collect();
        if name == "secret" {
            assert!(
                invalid.len() == 1 && invalid[0].contains("placeholder"),
                "the example of a secret must not work"
            );
        } else {
            assert_eq!(invalid, [""; 0], "{line}");
        }
    }
}

#[test]
fn every_field_is_a_declared_key() {
    // Field names as `Debug` prints them: four spaces a table, eight a key.
    let printed = format!("{:#?}", UploadConfig::default());
    let mut fields = Vec::new();
    let mut table = String::new();
    for line in printed.lines() {
        let Some((name, _)) = line.split_once(": ") else {
            continue;
        };
        match name.len() - name.trim_start().len() {
            4 => table = name.trim().to_owned(),
            8 => fields.push(format!("{table}.{}", name.trim())),
            _ => {}
        }
    }
    let declared: Vec<_> = keys().iter().map(|key| key.path).collect();
    assert_eq!(fields, declared);
}

#[test]
fn what_is_not_built_is_marked() {
    let Lines { set, unset } = lines();
    let all = set.iter().chain(&unset);
    let marked: BTreeSet<_> = all
        .filter(|(_, line)| line.contains(LATER))
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(marked, unbuilt::paths().collect());
}

#[test]
fn defaults_are_valid_values() {
    let text = UploadConfig::default().effective();
    let loaded = UploadConfig::from_toml(&text).unwrap();
    assert_eq!(loaded.config.effective(), text);
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
}

#[test]
fn what_is_printed_reads_back() {
    let text = r#"
        [server]
        name = "node-1"
        bind = "localhost:1"
        max_upload_size = 1234567
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [uploads]
        state_dir = "a \"b\" \\c"
        max_resumable_age = "36h1ms"
        [delivery]
        form = "raw"
        forward_headers = ["X-Tenant"]
        [security]
        schemes = ["path"]
        protect = ["/upload", "/a%20b"]
        [network]
        watch = ["eth?", "wlan*"]
        [workers]
        numworkers = 7
        max_workers = 9
        "#;
    let config = UploadConfig::from_toml(text).unwrap().config;
    let printed = config.effective();
    let again = UploadConfig::from_toml(&printed).unwrap().config;
    assert_eq!(again.effective(), printed);
    let different = |key: &&Key| key.show(&config) != key.show(&UploadConfig::default());
    let keys = keys();
    assert_eq!(keys.iter().filter(different).count(), 13);
    assert_eq!(again.uploads.state_dir, std::path::Path::new("a \"b\" \\c"));
    assert!(printed.contains("# tls_cert is not set\n"));
}
