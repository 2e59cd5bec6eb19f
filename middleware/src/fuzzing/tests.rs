//! Every input that is kept, those that found a fault among them.

use std::fs;
use std::path::Path;

use super::parsers::assert_found;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");

fn try_all(target: &str, property: fn(&[u8])) {
    let dir = Path::new(CORPUS).join(target);
    let mut tried = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let result = std::panic::catch_unwind(|| property(&input));
        assert!(result.is_ok(), "{}", path.display());
        tried += 1;
    }
    assert!(tried > 0, "there is no input for {target}");
}

fn found_by_all(bytes: &[u8]) {
    if let Some(form) = super::form(bytes) {
        assert_found(&form);
    }
}

macro_rules! targets {
    ($($name:ident: $property:path,)*) => {
        $(#[test]
        fn $name() {
            try_all(stringify!($name), $property);
        })*

        /// Each is one of `fuzz/`, and there are no others.
        #[test]
        fn nothing_is_forgotten() {
            let mut dirs: Vec<_> = fs::read_dir(CORPUS)
                .unwrap()
                .map(|dir| dir.unwrap().file_name().into_string().unwrap())
                .collect();
            dirs.sort();
            let mut here = [$(stringify!($name)),*];
            here.sort_unstable();
            assert_eq!(dirs, here);
        }
    };
}

targets! {
    config: super::config,
    file_name: super::file_name,
    headers: super::headers,
    log: super::log,
    log_entries: super::log_entries,
    multipart: found_by_all,
    ranges: super::ranges,
    redis_record: super::redis_record,
    signature: super::signature,
}
