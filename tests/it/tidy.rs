//! The rules of the house that a compiler does not know: who may know whom, where a dependency
//! lives, how long a function may be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rust_text::{code, functions, head, line_of, paths, without_tests, word_starts};

/// Modules of the middleware by rank. A module knows itself and those of lower rank; those of the
/// highest rank, the edge, also know each other.
const RANKS: [&[&str]; 6] = [
    &["upload", "error", "clock", "volume", "sabotage"],
    &["config", "event"],
    &["store", "blob", "admission", "network", "dedup"],
    &["engine"],
    &["protocol", "auth", "handoff", "address"],
    &[
        "layer",
        "service",
        "future",
        "handler",
        "fuzzing",
        "authorise",
        "checked",
        "body",
        "driver",
        "follower",
        "uploads",
        "feed",
        "metrics",
        "serve",
        "tls",
        "no_tls",
        "hooks",
        "health",
        "door",
        "lib",
        "saboteur",
    ],
];

const EDGE: usize = RANKS.len() - 1;

/// Modules of rank 4 and up speak HTTP.
const HTTP: usize = 4;

/// What a module of the lowest rank may know: importer and path.
const EXCEPTIONS: &[(&str, &str)] = &[("clock", "upload::Timestamp")];

/// Crates with one home: where in `middleware/src` they may be named.
const HOMES: &[(&[&str], &[&str])] = &[
    (&["config", "toml"], &["config/"]),
    (
        &["rustix"],
        &[
            "blob/",
            "volume/",
            "dedup/",
            "network/events.rs",
            "serve/io.rs",
            "serve/run.rs",
            "serve/server.rs",
        ],
    ),
    (
        &["libc"],
        &[
            "volume/write_back.rs",
            "dedup/linux/lease.rs",
            "network/events.rs",
        ],
    ),
    (&["notify"], &["dedup/linux/watch.rs", "config/watch.rs"]),
    (&["nix"], &["volume/pace.rs", "network/snapshot.rs"]),
    (&["hyper", "hyper_util"], &["serve/", "serve.rs"]),
    (&["sfv"], &["protocol/", "auth/message/"]),
    (
        &["getrandom"],
        &[
            "auth/",
            "store/disk/",
            "store/disk.rs",
            "store/redis/",
            "protocol/problem.rs",
            "future.rs",
            "handler.rs",
        ],
    ),
    (&["axum_core"], &["handler.rs"]),
    (&["hmac"], &["auth/"]),
    (&["governor"], &["admission/rates.rs"]),
    (&["redis"], &["store/redis/"]),
    (&["rustls"], &["serve/tls/", "store/redis/link.rs"]),
    (&["tokio_rustls"], &["serve/tls/"]),
];

/// Crates of the HTTP edge.
const HTTP_CRATES: &[&str] = &[
    "http",
    "http_body",
    "http_body_util",
    "tower_layer",
    "tower_service",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

/// All files below `dir` but for what git keeps or ignores, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let root = root();
    let ignored = fs::read_to_string(root.join(".gitignore")).expect("it says what is built");
    let ignored: Vec<_> = ignored
        .lines()
        .map(|line| root.join(line.trim_matches('/')))
        .collect();
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name() == ".git" || ignored.contains(&path) {
                continue;
            }
            let to = if path.is_dir() { &mut dirs } else { &mut found };
            to.push(path);
        }
    }
    found.sort();
    found
}

/// A source file: its path below some directory, and its code without comments, literals, tests.
struct Source {
    path: String,
    code: String,
}

fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

/// The sources below `dir` that are not tests.
fn sources(dir: &Path) -> Vec<Source> {
    let relative = |path: PathBuf| {
        let name = path
            .strip_prefix(dir)
            .expect("below")
            .to_string_lossy()
            .into_owned();
        (path.extension()? == "rs" && !is_test(&name)).then_some((path, name))
    };
    let read = |(file, path): (PathBuf, String)| {
        let text = fs::read_to_string(file).expect("Rust is UTF-8");
        Source {
            path,
            code: without_tests(&code(&text)),
        }
    };
    files(dir)
        .into_iter()
        .filter_map(relative)
        .map(read)
        .collect()
}

fn middleware() -> Vec<Source> {
    sources(&root().join("middleware/src"))
}

impl Source {
    /// The top-level module this file belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().expect("a path");
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules lie between this one and the crate.
    fn depth(&self) -> usize {
        let inside = self.path.strip_suffix("/mod.rs").unwrap_or(&self.path);
        if inside == "lib.rs" {
            0
        } else {
            inside.split('/').count()
        }
    }

    /// Paths that start at the crate, with their lines.
    fn crate_paths(&self) -> Vec<(usize, &str)> {
        let up = "super::".repeat(self.depth());
        let mut found = paths(&self.code, "crate::");
        if !up.is_empty() {
            let supers = paths(&self.code, &up);
            found.extend(
                supers
                    .into_iter()
                    .filter(|(_, path)| !path.starts_with("super::")),
            );
        }
        found
            .into_iter()
            .map(|(at, path)| (line_of(&self.code, at), path))
            .collect()
    }

    /// Lines that name an external crate.
    fn names(&self, krate: &str) -> Vec<usize> {
        let ours = krate == "config" && self.has_own_config();
        let absolute = format!("::{krate}::");
        let rooted = self
            .code
            .match_indices(&absolute)
            .map(|(at, _)| at)
            .filter(|at| {
                !self.code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>')
            });
        let plain = word_starts(&self.code, &format!("{krate}::"))
            .into_iter()
            .filter(|_| !ours);
        let found = rooted
            .chain(plain)
            .chain(word_starts(&self.code, &format!("use {krate};")));
        found.map(|at| line_of(&self.code, at)).collect()
    }

    /// Whether `config` means our own module here.
    fn has_own_config(&self) -> bool {
        let imported =
            |path: &str| head(path) == "config" && (path == "config" || path.contains("self"));
        self.path == "lib.rs" || self.crate_paths().iter().any(|(_, path)| imported(path))
    }
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|modules| modules.contains(&module))
}

/// Why `from` may not know `path`, if so.
fn forbidden(from: &str, path: &str) -> Option<String> {
    // What is no module is a re-export of the crate page, and so belongs to the edge.
    let to = Some(head(path))
        .filter(|to| rank(to).is_some() || to.starts_with(|c: char| c.is_lowercase()))
        .unwrap_or("lib");
    let Some(above) = rank(from) else {
        return Some(format!("module {from} has no rank"));
    };
    let Some(below) = rank(to) else {
        return Some(format!("module {to} has no rank"));
    };
    let excepted = EXCEPTIONS
        .iter()
        .any(|(importer, known)| *importer == from && *known == path);
    let allowed = from == to || below < above || (above, below) == (EDGE, EDGE) || excepted;
    (!allowed).then(|| format!("{from} (rank {above}) may not know {to} (rank {below}): {path}"))
}

#[track_caller]
fn none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n{}\n", offenders.join("\n"));
}

#[test]
fn arrows_between_modules_go_down() {
    let mut offenders = Vec::new();
    for source in middleware() {
        for (line, path) in source.crate_paths() {
            let found = forbidden(source.module(), path);
            offenders
                .extend(found.map(|why| format!("middleware/src/{}:{line}: {why}", source.path)));
        }
    }
    none("imports against the ranks", &offenders);
}

#[test]
fn every_module_has_a_rank() {
    let mut unranked: Vec<_> = middleware()
        .iter()
        .map(|source| source.module().to_owned())
        .collect();
    unranked.retain(|module| rank(module).is_none());
    unranked.dedup();
    none("modules without a rank", &unranked);
}

#[test]
fn every_dependency_has_a_home() {
    let mut offenders = Vec::new();
    for source in middleware() {
        let is_home = |homes: &&[&str]| homes.iter().any(|home| source.path.starts_with(home));
        for (crates, homes) in HOMES.iter().filter(|(_, homes)| !is_home(homes)) {
            for krate in *crates {
                let lines = source.names(krate).into_iter();
                offenders.extend(lines.map(|line| {
                    format!(
                        "middleware/src/{}:{line}: {krate} lives in {}",
                        source.path,
                        homes.join(", ")
                    )
                }));
            }
        }
    }
    none("dependencies away from home", &offenders);
}

#[test]
fn http_ends_at_the_protocol() {
    let mut offenders = Vec::new();
    for source in middleware() {
        if rank(source.module()).is_some_and(|rank| rank >= HTTP) {
            continue;
        }
        for krate in HTTP_CRATES {
            let lines = source.names(krate).into_iter();
            offenders.extend(
                lines.map(|line| format!("middleware/src/{}:{line}: {krate}", source.path)),
            );
        }
    }
    none("HTTP below the protocol", &offenders);
}

/// The lint can be lifted anywhere; here it is said where it is.
#[test]
fn unsafe_code_stands_in_few_places() {
    const PLACES: &[&str] = &[
        "middleware/src/dedup/linux/extents.rs",
        "middleware/src/dedup/linux/lease.rs",
        "middleware/src/volume/write_back.rs",
        "tests/src/torture/shutdown.rs",
    ];
    let root = root();
    let is_unsafe = |path: &&PathBuf| {
        let text = fs::read_to_string(path).expect("text");
        !word_starts(&code(&text), "unsafe ").is_empty()
    };
    let all = files(&root);
    let sources = all
        .iter()
        .filter(|path| path.extension() == Some("rs".as_ref()));
    let found = sources.filter(is_unsafe).map(|path| {
        let path = path.strip_prefix(&root).expect("below");
        path.to_string_lossy().into_owned()
    });
    assert_eq!(found.collect::<Vec<_>>(), PLACES);
}

#[test]
fn the_old_handler_does_not_know_us() {
    let dir = root().join("example-server/src");
    let ours = files(&dir).into_iter().filter(|path| {
        let name = path
            .strip_prefix(&dir)
            .expect("below")
            .to_string_lossy()
            .into_owned();
        name.starts_with("files")
    });
    let mut offenders = Vec::new();
    let mut read = 0;
    for path in ours {
        let text = fs::read_to_string(&path).expect("text");
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.to_lowercase().contains("steadfast"));
        offenders.extend(lines.map(|(line, _)| format!("{}:{}", path.display(), line + 1)));
        read += 1;
    }
    assert!(read > 0, "there is a handler");
    none("the handler names us", &offenders);
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimple", "mented!"),
        concat!("to", "do!"),
    ];
    let root = root();
    let mut offenders = Vec::new();
    for path in files(&root) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let name = path
            .strip_prefix(&root)
            .expect("below")
            .display()
            .to_string();
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        offenders.extend(lines.map(|(line, _)| format!("{name}:{}", line + 1)));
    }
    none("left for later", &offenders);
}

/// Every source but those of this package.
fn product() -> Vec<Source> {
    sources(&root())
}

#[test]
fn files_are_short() {
    let length = |source: &Source| source.code.trim_end().lines().count();
    let long = product()
        .into_iter()
        .filter(|source| length(source) > FILE_LINES_MAX);
    let offenders: Vec<_> = long
        .map(|source| format!("{}: {} lines", source.path, length(&source)))
        .collect();
    none("files that are too long", &offenders);
}

#[test]
fn functions_are_short() {
    let mut offenders = Vec::new();
    for source in product() {
        let long = functions(&source.code)
            .into_iter()
            .filter(|function| function.lines > FUNCTION_LINES_MAX);
        offenders.extend(long.map(|function| {
            format!(
                "{}:{}: {} has {} lines",
                source.path, function.line, function.name, function.lines
            )
        }));
    }
    none("functions that are too long", &offenders);
}

/// The checks see what they look for.
mod of_the_checks {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            code: without_tests(&code(text)),
        }
    }

    fn known(path: &str, text: &str) -> Vec<String> {
        source(path, text)
            .crate_paths()
            .into_iter()
            .map(|(line, path)| format!("{line} {path}"))
            .collect()
    }

    #[test]
    fn paths_are_found_in_every_form() {
        let text = "use crate::a::b;\nuse crate::{c, d::{E, f}, g as h};\nfn x() -> crate::i::J { 0 }\n// crate::no\n\
                    const S: &str = \"crate::no\";\npub(in crate::k) struct L;\nuse super::super::m;\nuse super::near;\n\
                    #[cfg(test)]\nmod tests {\n    use crate::no;\n}\nuse crate::n;\n";
        let expected = [
            "1 a::b",
            "2 c",
            "2 d::{E, f}",
            "2 g as h",
            "3 i::J",
            "6 k",
            "13 n",
            "7 m",
        ];
        assert_eq!(known("one/two.rs", text), expected);
        assert_eq!(
            known("one/mod.rs", "use super::a;\nuse super::super::b;"),
            ["1 a"]
        );
        assert_eq!(known("lib.rs", "use super::a;"), [""; 0]);
    }

    #[test]
    fn arrows_are_judged() {
        let refused = [
            ("upload", "config::Limits"),
            ("engine", "protocol::Problem"),
            ("store", "blob::Blob"),
            ("auth", "protocol::Problem"),
            ("clock", "upload::Record"),
            ("pace", "upload::Timestamp"),
            ("engine", "Error"),
            ("engine", "unknown::x"),
            ("unknown", "engine::x"),
        ];
        for (from, path) in refused {
            assert!(forbidden(from, path).is_some(), "{from} {path}");
        }
        let allowed = [
            ("clock", "upload::Timestamp"),
            ("layer", "service::S"),
            ("engine", "engine::x"),
            ("layer", "Error"),
            ("auth", "upload::x"),
        ];
        for (from, path) in allowed {
            assert_eq!(forbidden(from, path), None);
        }
    }

    #[test]
    fn crates_are_told_from_modules() {
        let lines = |text, krate| source("engine/mod.rs", text).names(krate);
        assert_eq!(
            lines(
                "use toml::Value;\nlet x = toml::from_str;\nuse my_toml::x;\nx::toml::y();",
                "toml"
            ),
            [1, 2]
        );
        assert_eq!(
            lines("use crate::config::{self, A};\nconfig::x();", "config"),
            [0; 0]
        );
        assert_eq!(lines("use crate::config;\n::config::x();", "config"), [2]);
        assert_eq!(lines("use crate::config::A;\nconfig::x();", "config"), [2]);
    }

    #[test]
    fn functions_are_measured() {
        let text = "fn a() {\n    let s = \"}\";\n    let c = '{';\n    // }\n}\nfn b(x: [u8; 2]) -> u8\nwhere\n    T: X,\n{\n    1\n}\n\
                    trait T {\n    fn c();\n}\nfn d<'a>(x: &'a str) {}\n";
        let found: Vec<_> = functions(&code(text))
            .into_iter()
            .map(|function| (function.name, function.line, function.lines))
            .collect();
        let expected = [("a", 1, 5), ("b", 6, 6), ("c", 13, 1), ("d", 15, 1)];
        assert_eq!(
            found,
            expected.map(|(name, line, lines)| (name.to_owned(), line, lines))
        );
    }

    #[test]
    fn raw_strings_and_comments_are_blank() {
        let text = "let a = r#\"fn x() { \"quoted\" \"#;\n/* fn /* nested */ y */ let b = br\"fn\";\nlet c = 'x';\n";
        assert_eq!(code(text).replace(' ', ""), "leta=;\nletb=;\nletc=;\n");
    }
}
