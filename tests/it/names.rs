//! File names: protocol section 1.1.

use steadfast_tests::config::CHUNK;
use steadfast_tests::http::{Request, Response};
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::{CHUNKED, Session, sign};

fn create(server: &Server, name: &[u8]) -> Response {
    server
        .client()
        .create_request("", 3)
        .replace("X-Filename", name)
        .send(server.addr())
}

fn create_extended(server: &Server, encoded: &str) -> Response {
    let request = Request::new("POST", CHUNKED)
        .header("X-Total-Size", "3")
        .header("X-Signature", sign(CHUNKED));
    let disposition = format!("attachment; filename*=UTF-8''{encoded}");
    request
        .header("Content-Disposition", disposition)
        .send(server.addr())
}

fn name_of(server: &Server, response: Response) -> String {
    let session = Session::from_answer(response.status_is(201).json());
    server.client().status(&session)["filename"]
        .as_str()
        .expect("a name")
        .to_owned()
}

#[test]
fn a_name_is_one_component() {
    let server = Server::start("");
    let before = tree::list(server.root());
    let long = "x".repeat(300);
    let bad: [&[u8]; 18] = [
        b"../../etc/x",
        b"..\\x",
        b"..\\..\\x",
        b"/abs",
        b"a/../../b",
        b"a/b",
        b"a\\b",
        b".",
        b"..",
        b"./x",
        b"x/",
        b"/",
        b"\\",
        b".upload_sessions/x",
        b"C:\\x",
        b"a\tb",
        "a\u{85}b".as_bytes(),
        long.as_bytes(),
    ];
    for name in bad {
        let shown = String::from_utf8_lossy(name).into_owned();
        let response = create(&server, name);
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "bad_filename"),
            "{shown:?}"
        );
    }
    let empty = create(&server, b"").status_is(400);
    assert!(
        ["bad_filename", "missing_header"].contains(&empty.code().as_str()),
        "{}",
        empty.code()
    );
    assert_eq!(tree::list(server.root()), before, "nothing is written");
}

#[test]
fn an_encoded_name_is_judged_after_decoding() {
    let server = Server::start("");
    for encoded in [
        "..%2F..%2Fx",
        "a%5Cb",
        "a%00b",
        "a%0D%0Ab",
        "%2E%2E",
        "%2e",
        "%2Fabs",
        "a%7Fb",
        "%09",
        "%FF%FE",
        "",
    ] {
        let response = create_extended(&server, encoded);
        assert_eq!(response.status, 400, "{encoded}");
        assert!(!response.code().is_empty(), "{encoded}");
    }
}

#[test]
fn up_to_255_bytes_are_a_name() {
    let server = Server::start("");
    assert_eq!(
        name_of(&server, create(&server, "x".repeat(255).as_bytes())).len(),
        255
    );
    create(&server, "x".repeat(256).as_bytes()).refused(400, "bad_filename");
    let wide = "é".repeat(127);
    assert_eq!(name_of(&server, create(&server, wide.as_bytes())), wide);
    create(&server, "é".repeat(128).as_bytes()).refused(400, "bad_filename");
    // 200 bytes of ISO-8859-1 are 400 bytes of UTF-8.
    create(&server, &[0xE9; 200]).refused(400, "bad_filename");
}

#[test]
fn utf_8_is_read_as_such() {
    let server = Server::start("");
    for name in ["grüße.bin", "日本語.tar.gz", "🦀.rs", "naïve café.txt"] {
        assert_eq!(name_of(&server, create(&server, name.as_bytes())), name);
    }
}

#[test]
fn other_bytes_are_latin_1() {
    let server = Server::start("");
    assert_eq!(
        name_of(&server, create(&server, b"gr\xfc\xdfe.bin")),
        "grüße.bin"
    );
    assert_eq!(name_of(&server, create(&server, b"\xe9")), "é");
    // 0x85 is a control character there.
    create(&server, b"a\x85\xfcb").refused(400, "bad_filename");
}

#[test]
fn the_extended_form_is_decoded() {
    let server = Server::start("");
    assert_eq!(
        name_of(&server, create_extended(&server, "gr%C3%BC%C3%9Fe.bin")),
        "grüße.bin"
    );
    assert_eq!(
        name_of(&server, create_extended(&server, "%e6%97%a5%e6%9c%ac.txt")),
        "日本.txt"
    );
    assert_eq!(
        name_of(&server, create_extended(&server, "plain.txt")),
        "plain.txt"
    );
}

#[test]
fn odd_names_are_names() {
    let server = Server::start("");
    let odd = [
        ".bashrc",
        "...",
        "..x",
        "x..",
        "x.metadata.json",
        "a b.bin",
        "a\"b.bin",
        "a'b",
        "a;b",
        "a%2Fb",
        "-rf",
        "$HOME",
        "`id`",
        "a&b=c",
        "con",
        "nul.txt",
        "~",
        "*",
        "file.log",
        "secret",
    ];
    for name in odd {
        assert_eq!(name_of(&server, create(&server, name.as_bytes())), name);
    }
}

#[test]
fn names_never_steer_where_things_are_kept() {
    let server = Server::start("");
    // The first finished upload makes what all of them share.
    let _ = server
        .client()
        .upload("first.bin", &[1; 10])
        .1
        .status_is(200);
    let before = tree::list(&server.state_dir());
    for name in ["secret", "x.log", "x.data", "delivering", "lock"] {
        let session = server.client().create(name, CHUNK + 1);
        let _ = server.client().put(&session, 0, &[1; CHUNK]).status_is(200);
        let known = |path: &std::path::PathBuf| before.iter().any(|entry| entry.path == *path);
        for entry in tree::list(&server.state_dir()) {
            assert!(
                !entry.path.ends_with(name) || known(&entry.path),
                "{}",
                entry.path.display()
            );
        }
        let _ = server.client().put(&session, 1, &[1; 1]).status_is(200);
    }
    let names: Vec<_> = tree::list(&server.work())
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    assert!(
        names.iter().all(|path| {
            let path = path.to_string_lossy();
            path.starts_with("data") || path.starts_with("uploads") || path == "config.toml"
        }),
        "{names:?}"
    );
    let root: Vec<_> = std::fs::read_dir(server.root())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(root, ["cwd"]);
}
