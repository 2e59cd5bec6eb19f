//! What no key can judge alone: checks between keys.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::error::Problem;
use super::kind::{describe, quote};
use super::review::{Findings, Review};
use super::units::show_size;
use super::{Mode, UploadConfig};

/// Adds what is wrong between keys.
pub(super) fn check(review: &Review<'_>, findings: &mut Findings) {
    let checks = [
        chunk_sizes,
        worker_counts,
        state_dir,
        secrets,
        key_ids,
        schemes,
        tls,
    ];
    for check in checks {
        findings.problems.extend(check(review));
    }
}

fn chunk_sizes(review: &Review<'_>) -> Vec<Problem> {
    let paths = [
        "uploads.chunk_size",
        "uploads.min_chunk_size",
        "uploads.max_chunk_size",
    ];
    if !review.is_sound(&paths) {
        return Vec::new();
    }
    let uploads = &review.config.uploads;
    let (min, max) = (uploads.min_chunk_size, uploads.max_chunk_size);
    let (from, to) = (show_size(min), show_size(max));
    if min > max {
        let text = format!(
            "{} is more than max_chunk_size, {}",
            quote(&from),
            quote(&to)
        );
        return vec![review.problem(&[paths[1], paths[2]], &text)];
    }
    if !(min..=max).contains(&uploads.chunk_size) {
        let found = review.raw.value(paths[0]).map(describe);
        let found = found.unwrap_or_else(|| quote(&show_size(uploads.chunk_size)));
        let usual = UploadConfig::default().uploads.chunk_size;
        let example = if (min..=max).contains(&usual) {
            usual
        } else {
            min
        };
        let example = quote(&show_size(example));
        let text = format!(
            "{found} is not allowed: expected a size from {from} to {to} such as {example}"
        );
        return vec![review.problem(&paths, &text)];
    }
    Vec::new()
}

fn worker_counts(review: &Review<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let paths = [
        "server.worker_scale_down_thresh",
        "server.worker_scale_up_thresh",
    ];
    let (down, up) = (
        review.config.server.worker_scale_down_thresh,
        review.config.server.worker_scale_up_thresh,
    );
    if down >= up && review.is_sound(&paths) {
        let text =
            format!("{down} is not allowed: expected less than worker_scale_up_thresh, {up}");
        problems.push(review.problem(&paths, &text));
    }
    let paths = ["workers.max_workers", "workers.numworkers"];
    let (max, base) = (
        review.config.workers.max_workers,
        review.config.workers.numworkers,
    );
    if max < base && review.is_sound(&paths) {
        let text = format!("{max} is not allowed: expected at least numworkers, {base}");
        problems.push(review.problem(&paths, &text));
    }
    problems
}

/// Unfinished uploads of strangers must not be in a directory that an app serves.
fn state_dir(review: &Review<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for path in serving(review.config) {
        let paths = ["uploads.state_dir", path];
        if review.is_sound(&paths) {
            let found = quote(&review.config.uploads.state_dir.to_string_lossy());
            let text = format!(
                "{found} is not allowed: expected a directory outside of {path}, which is served"
            );
            problems.push(review.problem(&paths, &text));
        }
    }
    problems
}

/// The keys of directories that are served, as far as we know, and hold `uploads.state_dir`.
pub(crate) fn serving(config: &UploadConfig) -> impl Iterator<Item = &'static str> {
    let storage = (config.delivery.mode == Mode::Store).then_some(&config.delivery.storage_path);
    let served = [
        ("delivery.storage_path", storage),
        (
            "deduplication.directory",
            config.deduplication.directory.as_ref(),
        ),
    ];
    let holds = |outer: &PathBuf| is_inside(&config.uploads.state_dir, outer);
    served
        .into_iter()
        .filter_map(move |(path, directory)| directory.is_some_and(holds).then_some(path))
}

fn is_inside(inner: &Path, outer: &Path) -> bool {
    resolve(inner).starts_with(resolve(outer))
}

/// The path as the filesystem sees it: links followed as far as it exists, dots resolved beyond.
fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => {
                resolved.push(other);
                resolved = resolved.canonicalize().unwrap_or(resolved);
            }
        }
    }
    resolved
}

fn secrets(review: &Review<'_>) -> Vec<Problem> {
    let paths = ["security.secret", "security.secret_file", "security.keys"];
    let set: Vec<_> = paths
        .into_iter()
        .filter(|path| review.raw.value(path).is_some())
        .collect();
    if let [first, second, ..] = set[..] {
        let text = format!(
            "{second} is set as well: give one of secret, secret_file and [[security.keys]]"
        );
        return vec![review.problem(&[first], &text)];
    }
    Vec::new()
}

fn key_ids(review: &Review<'_>) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let ids = review.config.security.keys.iter().map(|key| &key.id);
    let repeated = ids.filter(|id| !seen.insert(*id));
    repeated
        .map(|id| {
            review.problem(
                &["security.keys"],
                &format!("the id {} is given twice", quote(id)),
            )
        })
        .collect()
}

fn schemes(review: &Review<'_>) -> Vec<Problem> {
    let security = &review.config.security;
    if !security.enabled || !security.schemes.is_empty() || !review.is_sound(&["security.enabled"])
    {
        return Vec::new();
    }
    let text = "[] is not allowed: nobody could sign in; write schemes = [\"path\"], \
                or enabled = false to let everyone in";
    vec![review.problem(&["security.schemes"], text)]
}

/// A certificate needs its key, and nothing else of TLS works without the two.
fn tls(review: &Review<'_>) -> Vec<Problem> {
    let pair = ["server.tls_cert", "server.tls_key"];
    let named = review.config.server.tls_files();
    let is_named = |path: &str| named.iter().any(|(key, _)| *key == path);
    let missing: Vec<_> = pair.into_iter().filter(|path| !is_named(path)).collect();
    let Some((set, _)) = named.first().filter(|_| review.is_sound(&pair)) else {
        return Vec::new();
    };
    if missing.is_empty() {
        return Vec::new();
    }
    let text = format!("{} must be set as well", missing.join(" and "));
    vec![review.problem(&[set], &text)]
}
