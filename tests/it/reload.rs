//! A configuration that changes while the server runs.

use std::fs;
use std::os::unix::fs::symlink;

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::server::Server;
use steadfast_tests::wait::{self, SOON};

fn until_said(server: &Server, said: &str) {
    wait::until(said, SOON, || server.logs().contains(said));
}

/// What creates are answered that ask for so many bytes.
fn created(server: &Server, bytes: usize) -> u16 {
    let request = server.client().create_request("a.bin", bytes);
    request.send(server.addr()).status
}

fn with_limit(server: &Server, limit: &str) -> String {
    server.config_with(&format!("[server]\nmax_upload_size = \"{limit}\""))
}

#[test]
fn a_new_limit_acts_on_the_next_create() {
    let server = Server::start("");
    let file = data::random(1, 3 * CHUNK);
    let session = server.client().create("begun.bin", file.len());
    let _ = server.client().put_chunk(&session, &file, 0).status_is(200);
    assert_eq!(created(&server, 2_000), 201);
    fs::write(server.config_file(), with_limit(&server, "1000")).unwrap();
    until_said(&server, "server.max_upload_size = \"1000\", was \"10GB\"");
    assert_eq!(created(&server, 2_000), 413);
    assert_eq!(created(&server, 1_000), 201);
    // An upload keeps the limits it began with.
    let _ = server.client().put_chunk(&session, &file, 1).status_is(200);
    let last = server.client().put_chunk(&session, &file, 2).status_is(200);
    assert_eq!(last.json()["completed"], true);
}

#[test]
fn a_broken_file_changes_nothing_and_says_where() {
    let server = Server::start("");
    let limited = with_limit(&server, "1000");
    let (line, broken) = (limited.lines().count() + 2, "[uploads_]\nchunk_sise = 5");
    // (what is wrong, what is said of it)
    for (text, said) in [
        (
            format!("{limited}\n{broken}"),
            format!("config.toml:{line}:2"),
        ),
        (
            format!("{limited}\n\nbind = "),
            format!("config.toml:{}:", line + 1),
        ),
        (
            with_limit(&server, "many"),
            "server.max_upload_size: \"many\" is not allowed".to_owned(),
        ),
        (
            server.config_with("[deduplication]\ndirectory = \"data\""),
            "deduplication.directory".to_owned(),
        ),
    ] {
        fs::write(server.config_file(), text).unwrap();
        until_said(&server, &said);
        assert_eq!(created(&server, 2_000), 201, "{said}");
    }
    let stays = server.logs().matches("stays as it is").count();
    assert_eq!(stays, 4, "{}", server.logs());
    // As by an editor that is about to write it, or that has removed it first.
    fs::write(server.config_file(), "").unwrap();
    until_said(&server, "it is empty");
    fs::remove_file(server.config_file()).unwrap();
    fs::write(server.config_file(), limited).unwrap();
    until_said(&server, "server.max_upload_size = \"1000\"");
    assert_eq!(created(&server, 2_000), 413);
}

#[test]
fn what_needs_a_restart_is_said_and_stays() {
    let server = Server::start("");
    let extra = "[server]\nbind = \"127.0.0.1:1\"\n[uploads]\nchunk_size = \"128KB\"\n\
                 [security]\nsecret = \"fedcba9876543210fedcba9876543210\"";
    fs::write(server.config_file(), server.config_with(extra)).unwrap();
    let stays = format!("needs a restart, \"{}\" stays until then", server.addr());
    until_said(&server, &format!("server.bind = \"127.0.0.1:1\" {stays}"));
    until_said(&server, "uploads.chunk_size = \"128KB\", was \"64KB\"");
    // That a secret is another is said, and not which.
    until_said(&server, "security.secret = \"***\", was \"***\"");
    assert!(!server.logs().contains("fedcba"), "{}", server.logs());
    assert_eq!(created(&server, 1), 401, "signed with the old secret");
    // The same again, and one more: only that is told.
    let more = format!("{extra}\n[logging]\nlevel = \"warn\"");
    fs::write(server.config_file(), server.config_with(&more)).unwrap();
    until_said(&server, "logging.level = \"warn\", was \"info\"");
    assert_eq!(server.logs().matches("server.bind").count(), 1);
    // Another one again, and what stays is still what runs.
    let other = more.replace("127.0.0.1:1", "127.0.0.1:2");
    let other = other.replace("level = \"warn\"", "level = \"info\"");
    fs::write(server.config_file(), server.config_with(&other)).unwrap();
    until_said(&server, &format!("server.bind = \"127.0.0.1:2\" {stays}"));
    fs::write(server.config_file(), with_limit(&server, "1000")).unwrap();
    until_said(
        &server,
        &format!("server.bind = \"{}\", as it is in force", server.addr()),
    );
    wait::until("the old secret is back", SOON, || {
        created(&server, 1) == 201
    });
}

/// As an editor, a deployment, and a volume of Kubernetes replace files.
#[test]
fn a_file_may_be_replaced_in_every_way() {
    let server = Server::start("");
    let (file, work) = (server.config_file(), server.work());
    fs::write(work.join("new.toml"), with_limit(&server, "1000")).unwrap();
    fs::rename(work.join("new.toml"), &file).unwrap();
    until_said(&server, "max_upload_size = \"1000\"");
    let beside = tempfile::tempdir().unwrap();
    for (version, limit) in [("1", "2000"), ("2", "3000")] {
        let dir = beside.path().join(version);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.toml"), with_limit(&server, limit)).unwrap();
    }
    let data = beside.path().join("..data");
    symlink("1", &data).unwrap();
    symlink(data.join("config.toml"), work.join("link")).unwrap();
    fs::rename(work.join("link"), &file).unwrap();
    until_said(&server, "max_upload_size = \"2000\"");
    // From here on the directory is watched where the link leads to.
    fs::write(
        beside.path().join("1/config.toml"),
        with_limit(&server, "2500"),
    )
    .unwrap();
    until_said(&server, "max_upload_size = \"2500\"");
}

#[test]
fn the_environment_stays_above_the_file() {
    let environment = [("STEADFAST__SERVER__MAX_UPLOAD_SIZE", "500")];
    let server = Server::prepared(&Default::default(), &environment, |_| {});
    let text =
        server.config_with("[server]\nmax_upload_size = \"1000\"\n[uploads]\nmax_sessions = 7");
    fs::write(server.config_file(), text).unwrap();
    until_said(&server, "uploads.max_sessions = 7");
    assert_eq!(created(&server, 600), 413);
    assert!(
        !server.logs().contains("max_upload_size"),
        "{}",
        server.logs()
    );
}
