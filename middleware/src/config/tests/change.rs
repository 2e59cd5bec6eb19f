//! What a new configuration changes in a process that runs.

use super::accept;
use crate::config::change::fixed;
use crate::config::tables::keys;
use crate::config::{SessionStore, UploadConfig, replace};

fn said(running: &UploadConfig, before: &str, now: &str) -> (UploadConfig, Vec<String>) {
    let [before, now] = [before, now].map(|text| accept(text).config);
    let (next, changes) = replace(running, &before, &now);
    (next, changes.iter().map(ToString::to_string).collect())
}

#[test]
fn only_what_differs_changes_anything() {
    let before = "[server]\nmax_upload_size = \"1GB\"";
    let running = accept(before).config;
    assert_eq!(said(&running, before, before).1, [""; 0]);
    let now =
        "[server]\nmax_upload_size = \"2GB\"\nname = \"a\"\n[delivery]\nforward_headers = [\"X\"]";
    let (next, said) = said(&running, before, now);
    assert_eq!(
        said,
        [
            "server.max_upload_size = \"2GB\", was \"1GB\"",
            "server.name = \"a\" needs a restart, not set stays until then",
            "delivery.forward_headers = [\"X\"], was []",
        ]
    );
    assert_eq!(next.server.max_upload_size, 2 << 30);
    assert_eq!(next.server.name, None);
    // What waits for a restart does not become what is in force.
    let other = now.replace("\"a\"", "\"b\"");
    let (_, said) = self::said(&next, now, &other);
    assert_eq!(
        said,
        ["server.name = \"b\" needs a restart, not set stays until then"]
    );
    let (_, said) = self::said(&next, &other, &now.replace("name = \"a\"\n", ""));
    assert_eq!(said, ["server.name = not set, as it is in force"]);
}

/// Such as the name that a server was given, or the store it fell back to.
#[test]
fn what_the_start_made_of_it_stays() {
    let mut running = UploadConfig::default();
    running.server.name = Some("given".to_owned());
    running.sessions.store = SessionStore::Disk;
    let redis = "[sessions]\nstore = \"redis\"\nredis_required = false";
    let (next, said) = said(
        &running,
        redis,
        &format!("{redis}\n[uploads]\nmax_sessions = 1"),
    );
    assert_eq!(said, ["uploads.max_sessions = 1, was 100000"]);
    assert_eq!(next.server.name.as_deref(), Some("given"));
    assert_eq!(next.sessions.store, SessionStore::Disk);
}

/// A file that was cut, or lost a line, opens nothing.
#[test]
fn whether_there_is_tls_is_read_at_the_start_and_its_files_at_once() {
    let pair = "[server]\ntls_cert = \"a.pem\"\ntls_key = \"a.key\"\n";
    let mutual = format!("{pair}tls_client_ca = \"a.ca\"\n");
    let running = accept(&mutual).config;
    let (next, told) = said(&running, &mutual, "");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.iter()
            .all(|told| told.contains("not set needs a restart"))
    );
    assert_eq!(next.server.tls_files(), running.server.tls_files());
    let (next, told) = said(&running, &mutual, pair);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(next.server.tls_files(), running.server.tls_files());
    let (next, _) = said(&running, &mutual, &mutual.replace("\"a.", "\"b."));
    let files = next.server.tls_files();
    assert!(
        files
            .iter()
            .all(|(_, path)| path.to_string_lossy().starts_with("b."))
    );
    let plain = UploadConfig::default();
    let (next, told) = said(&plain, "", pair);
    assert_eq!(
        told[0],
        "server.tls_cert = \"a.pem\" needs a restart, not set stays until then"
    );
    assert!(next.server.tls_files().is_empty());
}

#[test]
fn what_other_servers_were_told_stays_while_sessions_are_shared() {
    let redis = "[sessions]\nstore = \"redis\"";
    let now = format!("{redis}\n[uploads]\nmax_resumable_age = \"1h\"");
    for (store, needs_restart) in [(SessionStore::Redis, true), (SessionStore::Disk, false)] {
        let mut running = UploadConfig::default();
        running.sessions.store = store;
        let (next, said) = said(&running, redis, &now);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].contains("needs a restart"), needs_restart);
        let hours = next.uploads.max_resumable_age.as_secs() / 3600;
        assert_eq!(hours, if needs_restart { 24 } else { 1 });
    }
}

/// Masked, they look the same.
#[test]
fn another_secret_is_a_change() {
    let with = |secret: &str| {
        let text = format!("[security]\nschemes = [\"path\"]\nsecret = \"{secret}\"");
        UploadConfig::from_toml(&text).unwrap().config
    };
    let [before, now] = [
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdee",
    ]
    .map(with);
    let (next, changes) = replace(&before, &before, &now);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].to_string(),
        "security.secret = \"***\", was \"***\""
    );
    assert_eq!(next.security.secret, now.security.secret);
    assert_ne!(next.security.secret, before.security.secret);
}

#[test]
fn what_is_read_at_the_start_is_a_key_and_is_documented() {
    let bundled = include_str!("../../../../config.toml");
    let (_, said) = bundled.split_once("Only at the start are read:").unwrap();
    let (said, _) = said.split_once("\n#\n").unwrap();
    let (some, whole) = said.split_once("all of").unwrap();
    // A list of names and the table they are in, again and again.
    let said: Vec<&str> = some
        .split([',', ' ', '\n', '#'])
        .filter(|word| !word.is_empty())
        .collect();
    let mut documented = Vec::new();
    let mut names = Vec::new();
    for word in said {
        match word
            .strip_prefix('[')
            .and_then(|word| word.strip_suffix(']'))
        {
            Some(table) => documented.extend(names.drain(..).map(|name| format!("{table}.{name}"))),
            None if matches!(word, "and" | "in") => {}
            None => names.push(word),
        }
    }
    let keys = keys();
    for (path, is_always) in fixed() {
        let key = keys.iter().find(|key| key.path == path).expect(path);
        let is_said =
            documented.contains(&path.to_owned()) || whole.contains(&format!("[{}]", key.table()));
        assert_eq!(is_said, is_always, "{path}");
    }
    for path in documented {
        assert!(
            fixed().any(|(fixed, is_always)| fixed == path && is_always),
            "{path}"
        );
    }
}
