//! What must not be found on disk or in the log: design invariants 8, 9 and 13.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, Config, SECRET};
use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::script::{Answer, Script};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, Session};

/// One session in each of several states.
fn sessions(server: &Server) -> Vec<Session> {
    let client = server.client();
    let fresh = client.create("fresh.bin", CHUNK);
    let receiving = client.create("receiving.bin", 2 * CHUNK);
    let _ = client.put(&receiving, 0, &[1; CHUNK]).status_is(200);
    client
        .put(&receiving, 0, &[2; CHUNK])
        .refused(409, "chunk_conflict");
    client
        .put(&receiving, 7, &[2; CHUNK])
        .refused(400, "chunk_range");
    let (completed, last) = client.upload("completed.bin", &[3; CHUNK]);
    let _ = last.status_is(200);
    let cancelled = client.create("cancelled.bin", 2 * CHUNK);
    let _ = client.put(&cancelled, 0, &[1; CHUNK]).status_is(200);
    let _ = client.cancel(&cancelled).status_is(204);
    let keyed = client
        .create_request("keyed.bin", 10)
        .header("Idempotency-Key", "the key of the client");
    let digest = client
        .create_request("rejected.bin", 10)
        .header("Repr-Digest", data::digest_sha256(b"other"));
    let rejected = client.open(&digest);
    client
        .put(&rejected, 0, b"0123456789")
        .refused(400, "digest_mismatch");
    vec![
        fresh,
        receiving,
        completed,
        cancelled,
        client.open(&keyed),
        rejected,
    ]
}

#[test]
fn session_ids_are_neither_stored_nor_logged() {
    for level in ["info", "debug", "trace"] {
        let mut server = Server::start(&format!("[logging]\nlevel = \"{level}\""));
        let sessions = sessions(&server);
        let _ = server.terminate();
        let mut logs = server.logs();
        server.restart();
        for session in &sessions {
            let _ = server.client().status(session);
        }
        let _ = server.terminate();
        logs.push_str(&server.logs());
        assert!(logs.contains("http://"), "the log is caught");
        for session in &sessions {
            assert!(!logs.contains(&session.id), "logged at {level}");
            let raw = URL_SAFE_NO_PAD.decode(&session.id).expect("base64url");
            for (path, bytes) in tree::files(&server.work()) {
                assert!(
                    !path.to_string_lossy().contains(&session.id),
                    "{}",
                    path.display()
                );
                assert!(
                    !data::contains(&bytes, session.id.as_bytes()),
                    "in {}",
                    path.display()
                );
                assert!(!data::contains(&bytes, &raw), "raw in {}", path.display());
            }
        }
    }
}

#[test]
fn unknown_ids_are_not_logged_either() {
    let server = Server::start("[logging]\nlevel = \"debug\"");
    let guess = "B".repeat(43);
    server.client().ask(&guess).refused(404, "no_session");
    let odd = Request::new("PUT", CHUNKED)
        .header("X-Upload-Session-ID", "odd-id-of-mine")
        .header("X-Chunk-Number", "0");
    odd.body("x").send(server.addr()).refused(404, "no_session");
    assert!(!server.logs().contains(&guess));
    assert!(!server.logs().contains("odd-id-of-mine"));
}

#[test]
fn the_secret_is_neither_stored_nor_logged() {
    let server = Server::start("[logging]\nlevel = \"debug\"");
    let _ = sessions(&server);
    assert!(!server.logs().contains(SECRET));
    for (path, bytes) in tree::files(&server.state_dir()) {
        assert!(
            !data::contains(&bytes, SECRET.as_bytes()),
            "in {}",
            path.display()
        );
    }
}

#[test]
fn client_text_cannot_forge_a_line_of_the_log() {
    let server = Server::start("[logging]\nlevel = \"debug\"");
    let name = "a\u{2028}2026-01-01T00:00:00Z ERROR forged";
    let session = server.client().create(name, 3);
    let _ = server.client().put(&session, 0, b"abc");
    assert!(server.logs().lines().all(|line| {
        !line
            .trim_start()
            .starts_with("2026-01-01T00:00:00Z ERROR forged")
    }));
}

#[test]
fn files_are_for_the_server_alone() {
    let server = Server::start("");
    let _ = sessions(&server);
    let state_dir = std::fs::metadata(server.state_dir())
        .unwrap()
        .permissions()
        .mode()
        & 0o7777;
    assert_eq!(state_dir, 0o700, "{state_dir:o}");
    let entries = tree::list(&server.state_dir());
    assert!(!entries.is_empty());
    for entry in entries {
        let right = if entry.is_dir { 0o700 } else { 0o600 };
        assert_eq!(
            entry.mode,
            right,
            "{} has {:o}",
            entry.path.display(),
            entry.mode
        );
    }
}

#[test]
fn nothing_is_written_elsewhere() {
    let server = Server::start("");
    let _ = sessions(&server);
    for entry in tree::list(&server.work()) {
        let path = entry.path.to_string_lossy().into_owned();
        let ours = path == "config.toml"
            || path == "data"
            || path.starts_with("data/uploads")
            || path.starts_with("uploads");
        assert!(ours, "{path}");
    }
    assert_eq!(std::fs::read_dir(server.root()).unwrap().count(), 1);
}

#[test]
fn names_on_disk_are_made_by_the_server() {
    let server = Server::start("");
    let session = server.client().create("very-special-name.bin", 2 * CHUNK);
    let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
    for entry in tree::list(&server.state_dir()) {
        assert!(
            !entry.path.to_string_lossy().contains("very-special-name"),
            "{}",
            entry.path.display()
        );
    }
}

#[test]
fn state_is_not_served() {
    let server = Server::start("");
    let _ = sessions(&server);
    let mut targets = vec![
        "/data/uploads".to_owned(),
        "/data/uploads/secret".into(),
        "/config.toml".into(),
        "/files/config.toml".into(),
    ];
    for entry in tree::list(&server.state_dir()) {
        let path = entry.path.to_string_lossy().into_owned();
        targets.extend([
            format!("/{path}"),
            format!("/data/uploads/{path}"),
            format!("/files/{path}"),
            format!("/uploads/{path}"),
        ]);
        targets.extend([
            format!("/files/..%2Fdata%2Fuploads%2F{path}"),
            format!("/files/../data/uploads/{path}"),
        ]);
    }
    for target in targets {
        let response = Request::new("GET", &target).send(server.addr());
        assert!(
            [400, 404, 405].contains(&response.status),
            "{target}: {}",
            response.status
        );
    }
}

#[test]
fn a_secret_that_the_server_made_is_kept_and_shown_how_to_use() {
    let config = Config::default().without("security", "secret");
    let mut server = Server::with(&config);
    let path = server.state_dir().join("secret");
    let mode = std::fs::metadata(&path)
        .expect("a secret")
        .permissions()
        .mode()
        & 0o7777;
    assert_eq!(mode, 0o600);
    let made = std::fs::read(&path).unwrap();
    let shown = ready_made(&server).expect("a signature that works is printed");
    server.restart();
    assert_eq!(std::fs::read(&path).unwrap(), made, "made once");
    let request = server
        .client()
        .create_request("made.bin", 10)
        .replace("X-Signature", shown);
    let _ = request.send(server.addr()).status_is(201);
    assert!(
        !data::contains(server.logs().as_bytes(), hex::encode(&made).as_bytes()),
        "the secret itself is not printed"
    );
}

/// The first text of 64 hex digits in the log that signs a create.
fn ready_made(server: &Server) -> Option<String> {
    let logs = server.logs();
    let words = logs
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() == 64);
    words.map(str::to_owned).find(|word| {
        let request = server
            .client()
            .create_request("shown.bin", 10)
            .replace("X-Signature", word);
        request.send(server.addr()).status == 201
    })
}

#[test]
fn what_the_handler_sets_as_a_cookie_is_not_kept() {
    let answer = Answer::text(422, "no").header("set-cookie", "session=s3cr3t-of-the-app");
    let app = App::start("", Script::always(answer));
    let (_, last) = app.client().upload("cookie.bin", b"0123456789");
    let _ = last.status_is(422);
    for (path, bytes) in tree::files(&app.state_dir()) {
        assert!(
            !data::contains(&bytes, b"s3cr3t-of-the-app"),
            "in {}",
            path.display()
        );
    }
}
