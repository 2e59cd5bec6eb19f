//! The hostile pack, a test per file of cases: see `tests/hostile/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

use steadfast_tests::hostile::{case, run};

/// A test per theme, and the list of them.
macro_rules! themes {
    ($($theme:ident),* $(,)?) => {
        const THEMES: &[&str] = &[$(stringify!($theme)),*];

        $(
            #[test]
            fn $theme() {
                run(stringify!($theme));
            }
        )*
    };
}

themes![
    configs,
    cves,
    digests_and_conditions,
    headers,
    http2,
    injection,
    lengths,
    methods,
    names,
    numbers,
    races,
    sessions,
    signatures,
    slow_and_many,
    targets,
    transfer_coding,
];

#[test]
fn every_file_of_the_pack_is_played_and_every_name_is_used_once() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile");
    let mut names = BTreeSet::new();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).expect("the pack") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("cases");
        for case in case::parse(&text).expect("cases") {
            assert!(
                names.insert(case.name.clone()),
                "{} is there twice",
                case.name
            );
        }
        found.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    let played: BTreeSet<_> = THEMES.iter().map(|theme| (*theme).to_owned()).collect();
    assert_eq!(found, played);
}
