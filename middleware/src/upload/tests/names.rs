use proptest::prelude::*;

use crate::upload::{FileName, NameError, from_latin1, to_latin1};

#[test]
fn names_that_could_be_more_than_a_name_are_refused() {
    use NameError::{Control, Dots, Empty, Separator, TooLong};
    let cases = [
        ("", Empty),
        (".", Dots),
        ("..", Dots),
        ("../../etc/x", Separator),
        ("..\\x", Separator),
        ("a\\..\\..\\b", Separator),
        ("/abs", Separator),
        ("a/../../b", Separator),
        (".upload_sessions/x", Separator),
        ("C:\\x", Separator),
        ("a\0b", Control),
        ("\0", Control),
        ("a\nb", Control),
        ("a\r\nX-Evil: 1", Control),
        ("a\tb", Control),
        ("a\u{7f}", Control),
        ("a\u{85}b", Control),
        ("\u{1b}[31m", Control),
    ];
    for (name, error) in cases {
        assert_eq!(FileName::parse(name), Err(error), "{name:?}");
        let json = serde_json::to_string(name).unwrap();
        assert!(
            serde_json::from_str::<FileName>(&json).is_err(),
            "from a log: {name:?}"
        );
    }
    for len in [256, 300, 10_000] {
        assert_eq!(FileName::parse("a".repeat(len)), Err(TooLong), "{len}");
    }
    // 128 characters of two bytes each: bytes count, not characters.
    assert_eq!(FileName::parse("é".repeat(128)), Err(TooLong));
}

#[test]
fn other_names_are_data() {
    let long = "a".repeat(255);
    let wide = "é".repeat(127);
    for name in [
        "a",
        "...",
        ".hidden",
        "a b.txt",
        "..a",
        "a..",
        "-rf",
        "a%2Fb",
        "a;b\"c'd",
        "ü中🎉.zip",
        "CON",
        "a:b",
        "~",
        "$HOME",
        "{key}",
        &long,
        &wide,
    ] {
        let parsed = FileName::parse(name).unwrap();
        assert_eq!(parsed.as_str(), name);
        assert_eq!(parsed.to_string(), name);
        let json = serde_json::to_string(&parsed).unwrap();
        assert_eq!(serde_json::from_str::<FileName>(&json).unwrap(), parsed);
    }
}

#[test]
fn every_byte_is_a_character_of_latin_1_and_comes_back() {
    let bytes: Vec<u8> = (0..=255).collect();
    let text = from_latin1(&bytes);
    assert_eq!(text.chars().count(), 256);
    assert_eq!(to_latin1(&text), Some(bytes));
    assert_eq!(from_latin1(b"na\xefve"), "naïve");
    assert_eq!(to_latin1("中"), None);
}

proptest! {
    #[test]
    fn an_accepted_name_is_one_component(name in any::<String>()) {
        if let Ok(name) = FileName::parse(name) {
            let path = std::path::Path::new("/dir").join(name.as_str());
            prop_assert_eq!(path.parent(), Some(std::path::Path::new("/dir")));
            prop_assert_eq!(path.components().count(), 3);
        }
    }
}
