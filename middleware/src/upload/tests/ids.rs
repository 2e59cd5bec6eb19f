use std::collections::HashSet;

use proptest::prelude::*;

use crate::upload::{SessionId, UploadKey};

fn plain() -> String {
    SessionId::new([0xa5; 32], None).expose().to_owned()
}

#[test]
fn an_id_is_43_characters_of_base64url_behind_the_name_of_its_server() {
    let id = plain();
    assert_eq!(id.len(), 43);
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
        "{id}"
    );
    let named = SessionId::new([0xa5; 32], Some("node-1"));
    assert_eq!(named.expose(), format!("node-1.{id}"));
}

#[test]
fn other_shapes_are_refused() {
    let good = plain();
    let long_name = "a".repeat(33);
    let refused = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "../x".to_owned(),
        "..%2Fx".to_owned(),
        format!("../{good}"),
        format!("/{good}"),
        format!("..{good}"),
        good[..42].to_owned(),
        format!("{good}A"),
        format!("{good}="),
        format!("{}=", &good[..42]),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}\0"),
        good.replacen(&good[..1], "+", 1),
        good.replacen(&good[..1], "/", 1),
        good.replacen(&good[..1], "é", 1),
        "A".repeat(10 * 1024),
        format!(".{good}"),
        format!("{long_name}.{good}"),
        format!("Node.{good}"),
        format!("no_de.{good}"),
        format!("nöde.{good}"),
        format!("a.b.{good}"),
        format!("{good}."),
        format!("{good}.node"),
    ];
    for text in refused {
        assert_eq!(SessionId::parse(&text), None, "{:.60}", text);
    }
    for name in ["a", "0", "node-1", &"a".repeat(32)] {
        let text = format!("{name}.{good}");
        assert_eq!(SessionId::parse(&text).unwrap().expose(), text);
    }
}

/// 43 characters carry 258 bits: of four last characters that decode to the same bytes, only one
/// is an id. Otherwise one upload had several names.
#[test]
fn only_the_canonical_last_character_is_an_id() {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let accepted = alphabet.chars().filter(|last| {
        let text = format!("{}{last}", &plain()[..42]);
        SessionId::parse(&text).is_some()
    });
    assert_eq!(accepted.count(), 16);
}

#[test]
fn ids_and_keys_are_distinct() {
    let mut seen = HashSet::new();
    for _ in 0..10_000 {
        let mut random = [0; 32];
        getrandom::fill(&mut random).unwrap();
        let id = SessionId::new(random, None);
        assert!(seen.insert(id.expose().to_owned()));
        assert!(seen.insert(id.key().to_string()));
    }
}

/// `printf %s <id> | sha256sum`, the first 16 bytes in base64url.
#[test]
fn the_key_is_the_beginning_of_the_sha_256_of_the_id() {
    let id = SessionId::parse(&"A".repeat(43)).unwrap();
    assert_eq!(id.key().to_string(), "DwBzhbb51LfusnSGBa_hqQ");
    // The name belongs to the id, so it makes another key.
    assert_ne!(SessionId::new([0; 32], Some("n")).key(), id.key());
}

#[test]
fn debug_does_not_reveal_the_id() {
    let id = SessionId::new([7; 32], Some("node"));
    let shown = format!("{id:?}");
    assert!(!shown.contains(&id.expose()[5..20]), "{shown}");
    assert!(shown.contains(&id.key().to_string()), "{shown}");
}

#[test]
fn a_key_has_22_characters_and_only_one_spelling() {
    let key = SessionId::new([1; 32], None).key();
    let text = key.to_string();
    assert_eq!(text.len(), 22);
    assert_eq!(text.parse(), Ok(key));
    let (head, last) = text.split_at(21);
    let spellings = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_']);
    let same = spellings.filter(|c| format!("{head}{c}").parse() == Ok(key));
    assert_eq!(same.collect::<String>(), last);
    for wrong in [
        "",
        head,
        "../../../../etc/passwd",
        &format!("{text}A"),
        &format!("{text}=="),
    ] {
        assert_eq!(wrong.parse::<UploadKey>(), Err(()), "{wrong}");
    }
}

proptest! {
    #[test]
    fn ids_survive_the_trip_to_the_client(
        random in any::<[u8; 32]>(),
        name in proptest::option::of("[a-z0-9-]{1,32}"),
    ) {
        let id = SessionId::new(random, name.as_deref());
        let parsed = SessionId::parse(id.expose());
        prop_assert_eq!(parsed.as_ref(), Some(&id));
        prop_assert_eq!(id.key().to_string().parse(), Ok(id.key()));
    }

    #[test]
    fn whatever_is_parsed_is_kept_as_it_was(text in "\\PC{0,80}") {
        if let Some(id) = SessionId::parse(&text) {
            prop_assert_eq!(id.expose(), text);
        }
    }
}
