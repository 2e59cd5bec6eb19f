//! Files with the same content share their space, whichever way they came to the server.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Request, Response};
use steadfast_tests::server::Server;
use steadfast_tests::upload::sign;
use steadfast_tests::{tree, wait};

/// A file is quiet after 5 s; the rest is room for a machine with other things to do.
const LIMIT: Duration = Duration::from_secs(30);

const BY_LINKS: &str = "[deduplication]\ndirectory = \"uploads\"\nmethod = \"hardlink\"\n";

fn by_links(more: &str) -> Server {
    Server::start(&format!("{BY_LINKS}{more}"))
}

/// Sends a file the old way.
fn post(server: &Server, name: &str, content: &[u8]) -> Response {
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    let body = [head.as_bytes(), content, b"\r\n--b--\r\n"].concat();
    Request::new("POST", "/upload")
        .header("Content-Type", "multipart/form-data; boundary=b")
        .header("X-Signature", sign("/upload"))
        .body(body)
        .send(server.addr())
}

fn ino(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("the name is there").ino()
}

/// Waits until all names below `dir` are those of one file.
fn until_one(dir: &Path, names: &[&str]) {
    wait::until("the copies share their space", LIMIT, || {
        let mut all: Vec<_> = names.iter().map(|name| ino(&dir.join(name))).collect();
        all.dedup();
        all.len() == 1
    });
}

/// Writes a file with the time of the last one that the test has written so.
fn place(dir: &Path, name: &str, content: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
}

#[test]
fn uploads_of_either_kind_become_names_of_one_file() {
    let server = by_links("times = \"newest\"");
    let file = data::random(1, 3 * CHUNK + 5);
    let _ = post(&server, "old way.bin", &file).status_is(201);
    let _ = server.client().upload("in chunks.bin", &file).1.success();
    let _ = post(&server, "other.bin", &data::random(2, file.len())).status_is(201);
    let dir = server.uploads_dir();
    let names = ["old way.bin", "in chunks.bin"];
    let newest = fs::metadata(dir.join("in chunks.bin")).unwrap();
    until_one(&dir, &names);
    for name in names {
        assert!(fs::read(dir.join(name)).unwrap() == file);
        let target = format!("/files/{}", name.replace(' ', "%20"));
        let served = Request::new("GET", &target).send(server.addr());
        assert!(served.status_is(200).body == file);
        let metadata = fs::metadata(dir.join(name)).unwrap();
        assert_eq!(metadata.mode(), newest.mode());
        assert_eq!(metadata.modified().unwrap(), newest.modified().unwrap());
    }
    assert_eq!(tree::list(&dir).len(), 3);
    // A name given again is another file; the copies stay what they are.
    let _ = post(&server, "old way.bin", b"something else").status_is(201);
    assert!(fs::read(dir.join("in chunks.bin")).unwrap() == file);
    wait::until("the log tells of it", LIMIT, || {
        server.logs().contains("files share the space of others")
    });
    // In store mode as well.
    let server = Server::start(
        "[delivery]\nmode = \"store\"\nstorage_path = \"stored\"\n\
         [deduplication]\nmethod = \"hardlink\"\ntimes = \"newest\"",
    );
    for name in ["a.bin", "b.bin"] {
        let _ = server.client().upload(name, &file).1.success();
    }
    until_one(&server.work().join("stored"), &["a.bin", "b.bin"]);
}

/// Two copies that are linked show that everything that was there before has been looked at.
#[test]
fn what_differs_or_is_in_use_is_left_alone() {
    let server = by_links("maxsize = \"100KB\"");
    let dir = server.uploads_dir();
    let held = {
        place(&dir, "held/a", b"in use");
        place(&dir, "held/b", b"in use");
        File::options()
            .append(true)
            .open(dir.join("held/b"))
            .unwrap()
    };
    place(&dir, "time/a", b"of another time");
    place(&dir, "time/b", b"of another time");
    let now = std::time::SystemTime::now();
    let times = File::options().append(true).open(dir.join("time/b"));
    times.unwrap().set_modified(now).unwrap();
    for name in ["large/a", "large/b"] {
        place(&dir, name, &vec![1; (100 << 10) + 1]);
    }
    let outside = server.work().join("outside");
    place(&outside, "a", b"outside");
    place(&outside, "b", b"outside");
    std::os::unix::fs::symlink(&outside, dir.join("link")).unwrap();
    for name in ["z/a", "z/b"] {
        place(&dir, name, &vec![1; 100 << 10]);
    }
    until_one(&dir, &["z/a", "z/b"]);
    for apart in ["held", "time", "large", "link"] {
        let [a, b] = ["a", "b"].map(|name| ino(&dir.join(apart).join(name)));
        assert_ne!(a, b, "{apart}");
    }
    assert_eq!(
        fs::metadata(dir.join("time/b"))
            .unwrap()
            .modified()
            .unwrap(),
        now
    );
    // Written in place, but nobody else's any more.
    drop(held);
    until_one(&dir, &["held/a", "held/b"]);
    assert_eq!(fs::read(dir.join("held/b")).unwrap(), b"in use");
}

#[test]
fn nothing_is_touched_unless_it_is_asked_for() {
    for extra in [
        "",
        "[deduplication]\nenabled = false\ndirectory = \"uploads\"",
    ] {
        let server = Server::start(extra);
        assert!(!server.logs().contains("duplicates"));
        assert!(!server.state_dir().join("dedup").exists());
    }
    let server = by_links("");
    assert!(server.logs().contains("by hard links"), "{}", server.logs());
}

#[test]
fn a_shutdown_does_not_wait_for_it() {
    let mut server = by_links("");
    let dir = server.uploads_dir();
    for number in 0..200 {
        place(&dir, &format!("{number}"), &data::random(3, 1 << 20));
    }
    wait::until("it is at work", LIMIT, || {
        ino(&dir.join("0")) == ino(&dir.join("1"))
    });
    let begun = std::time::Instant::now();
    assert!(server.terminate().success());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
