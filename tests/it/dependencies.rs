//! What is depended on: `deny.toml` holds where `cargo deny` is not installed, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every package that is built for this machine, with all features.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["metadata", "--locked"]);
    cargo.args(["--format-version", "1", "--all-features"]);
    let machine = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args(["--filter-platform", &machine]);
    let output = cargo.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let used = metadata["resolve"]["nodes"].as_array().unwrap().iter();
    let used: BTreeSet<_> = used.map(|node| node["id"].to_string()).collect();
    let Value::Array(mut packages) = metadata["packages"].take() else {
        panic!("no packages");
    };
    packages.retain(|package| used.contains(&package["id"].to_string()));
    assert!(packages.len() > 100, "{}", packages.len());
    packages
}

fn rules() -> toml::Table {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    text.parse().unwrap()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// Whether an expression of SPDX (license or exception names, `AND`, `OR`, parentheses) holds with
/// what is allowed: each alternative of one without parentheses, and all parts of one with.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.trim();
    let parts = |word| split(expression, word);
    if let Some(parts) = parts(" AND ") {
        return parts.into_iter().all(|part| is_allowed(part, allowed));
    }
    if let Some(parts) = parts(" OR ").or_else(|| parts("/")) {
        return parts.into_iter().any(|part| is_allowed(part, allowed));
    }
    let inner = expression.strip_prefix('(');
    match inner.and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_allowed(inner, allowed),
        None => allowed.contains(expression),
    }
}

/// What stands between `word` outside of parentheses, if it is there.
fn split<'a>(expression: &'a str, word: &str) -> Option<Vec<&'a str>> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_i32, 0);
    for (at, byte) in expression.bytes().enumerate() {
        depth += i32::from(byte == b'(') - i32::from(byte == b')');
        if depth == 0 && at >= from && expression[at..].starts_with(word) {
            parts.push(&expression[from..at]);
            from = at + word.len();
        }
    }
    parts.push(&expression[from..]);
    (parts.len() > 1).then_some(parts)
}

#[test]
fn licenses_and_sources_are_those_of_deny_toml() {
    let rules = rules();
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let allowed: BTreeSet<_> = allowed.iter().map(|name| name.as_str().unwrap()).collect();
    let mut offenders = Vec::new();
    for package in packages() {
        let license = package["license"].as_str().unwrap_or("none");
        if !is_allowed(license, &allowed) {
            offenders.push(format!("{}: {license}", name(&package)));
        }
        // Without one it is of this workspace.
        if let Some(source) = package["source"].as_str()
            && source != REGISTRY
        {
            offenders.push(format!("{}: {source}", name(&package)));
        }
    }
    assert!(offenders.is_empty(), "{offenders:#?}");
}

#[test]
fn nothing_is_used_that_deny_toml_names() {
    let rules = rules();
    let denied = rules["bans"]["deny"].as_array().unwrap();
    let denied: Vec<_> = denied
        .iter()
        .map(|entry| entry["crate"].as_str().unwrap())
        .collect();
    let packages = packages();
    let used = packages.iter().map(name);
    let used: Vec<_> = used.filter(|name| denied.contains(name)).collect();
    assert!(used.is_empty(), "{used:?}");
}

#[test]
fn expressions_are_judged() {
    let allowed = BTreeSet::from(["A", "B WITH e"]);
    for good in [
        "A",
        "C OR A",
        "A/C",
        "(A)",
        "A AND B WITH e",
        "(A OR C) AND (C OR B WITH e)",
        "(C AND D) OR A",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "none",
        "B",
        "C",
        "A AND C",
        "(A OR C) AND D",
        "(A OR B) AND (C OR D)",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
