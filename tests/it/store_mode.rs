//! Files that go to a directory instead of a handler: `delivery.mode = "store"`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use steadfast_tests::config::CHUNK;
use steadfast_tests::data::{self, digest_sha256};
use steadfast_tests::http::together;
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::Session;

fn start(on_conflict: &str) -> Server {
    let extra = format!(
        "[delivery]\nmode = \"store\"\nstorage_path = \"stored\"\non_conflict = \"{on_conflict}\""
    );
    Server::start(&extra)
}

fn stored(server: &Server) -> PathBuf {
    server.work().join("stored")
}

#[test]
fn the_file_appears_whole_under_its_name() {
    let server = start("rename");
    let file = data::random(1, 3 * CHUNK + 5);
    let session = server.client().create("whole.bin", file.len());
    for index in 0..3 {
        let _ = server
            .client()
            .put_chunk(&session, &file, index)
            .status_is(200);
        assert!(
            tree::list(&stored(&server)).is_empty(),
            "nothing partial is visible"
        );
    }
    let answer = server
        .client()
        .put_chunk(&session, &file, 3)
        .status_is(200)
        .json();
    assert_eq!(answer["completed"], true);
    assert_eq!(answer["filename"], "whole.bin");
    assert_eq!(answer["size"], file.len());
    let path = stored(&server).join("whole.bin");
    assert!(std::fs::read(&path).unwrap() == file);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644 & !server.umask());
    assert_eq!(tree::list(&stored(&server)).len(), 1);
    assert!(
        tree::list(&server.uploads_dir()).is_empty(),
        "the handler is not called"
    );
    assert_eq!(server.client().state(&session), "completed");
}

#[test]
fn a_declared_digest_is_computed_and_told() {
    let server = start("rename");
    let file = data::random(2, CHUNK + 5);
    let request = server
        .client()
        .create_request("sum.bin", file.len())
        .header("Repr-Digest", digest_sha256(&file));
    let session = server.client().open(&request);
    let answer = server
        .client()
        .put_all(&session, &file)
        .status_is(200)
        .json();
    assert_eq!(answer["sha256"], data::sha256_hex(&file));
}

#[test]
fn a_taken_name_gets_another_one() {
    let server = start("rename");
    let files: Vec<_> = (0..3)
        .map(|seed| data::random(10 + seed, CHUNK + 5))
        .collect();
    for file in &files {
        assert_eq!(
            server
                .client()
                .upload("same.bin", file)
                .1
                .status_is(200)
                .json()["completed"],
            true
        );
    }
    assert!(
        std::fs::read(stored(&server).join("same.bin")).unwrap() == files[0],
        "the first one is untouched"
    );
    assert_eq!(tree::list(&stored(&server)).len(), 3);
    for file in &files {
        assert_eq!(tree::holding(&stored(&server), file).len(), 1);
    }
}

#[test]
fn many_at_once_of_one_name_all_survive() {
    let server = start("rename");
    let files: Vec<_> = (0..8).map(|seed| data::random(20 + seed, 1000)).collect();
    let _ = together(8, |index| {
        server
            .client()
            .upload("same.bin", &files[index])
            .1
            .status_is(200)
    });
    assert_eq!(tree::list(&stored(&server)).len(), 8);
    for file in &files {
        assert_eq!(tree::holding(&stored(&server), file).len(), 1);
    }
}

#[test]
fn a_taken_name_may_be_refused() {
    let server = start("reject");
    let first = data::random(30, CHUNK);
    let _ = server.client().upload("taken.bin", &first).1.status_is(200);
    let create = server
        .client()
        .create_request("taken.bin", 10)
        .send(server.addr());
    if create.status == 201 {
        let session = Session::from_answer(create.json());
        let last = server.client().put(&session, 0, b"0123456789");
        assert!((400..500).contains(&last.status), "{}", last.status);
        assert_ne!(server.client().state(&session), "completed");
    } else {
        assert!((400..500).contains(&create.status), "{}", create.status);
    }
    assert!(std::fs::read(stored(&server).join("taken.bin")).unwrap() == first);
    assert_eq!(tree::list(&stored(&server)).len(), 1);
    let _ = server
        .client()
        .upload("free.bin", b"0123456789")
        .1
        .status_is(200);
}

#[test]
fn of_many_at_once_one_gets_the_name() {
    let server = start("reject");
    let files: Vec<_> = (0..8).map(|seed| data::random(40 + seed, 1000)).collect();
    let sessions: Vec<_> = files
        .iter()
        .map(|file| server.client().create("one.bin", file.len()))
        .collect();
    let statuses = together(8, |index| {
        server
            .client()
            .put(&sessions[index], 0, &files[index])
            .status
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    let winner = statuses.iter().position(|status| *status == 200).unwrap();
    assert!(std::fs::read(stored(&server).join("one.bin")).unwrap() == files[winner]);
    assert_eq!(tree::list(&stored(&server)).len(), 1);
}

#[test]
fn a_taken_name_may_be_overwritten_in_one_step() {
    let server = start("overwrite");
    let files: Vec<_> = (0..6_u8).map(|round| vec![round; 4 * CHUNK]).collect();
    let _ = server
        .client()
        .upload("latest.bin", &files[0])
        .1
        .status_is(200);
    let path = stored(&server).join("latest.bin");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let seen = std::fs::read(&path).expect("the name never vanishes");
                assert_eq!(seen.len(), 4 * CHUNK, "never half a file");
                assert!(seen.iter().all(|byte| *byte == seen[0]), "never a mixture");
                looks += 1;
            }
            looks
        });
        for file in &files[1..] {
            let _ = server.client().upload("latest.bin", file).1.status_is(200);
        }
        done.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0);
    });
    assert!(std::fs::read(&path).unwrap() == files[5]);
    assert_eq!(tree::list(&stored(&server)).len(), 1);
}

#[test]
fn a_file_that_fails_its_digest_touches_no_older_one() {
    for on_conflict in ["rename", "reject", "overwrite"] {
        let server = start(on_conflict);
        let old = data::random(50, 1000);
        let _ = server.client().upload("a.bin", &old).1.status_is(200);
        let request = server
            .client()
            .create_request("a.bin", 10)
            .header("Repr-Digest", digest_sha256(b"something else"));
        let response = request.send(server.addr());
        if response.status == 201 {
            let session = Session::from_answer(response.json());
            server
                .client()
                .put(&session, 0, b"0123456789")
                .refused(400, "digest_mismatch");
        }
        assert!(
            std::fs::read(stored(&server).join("a.bin")).unwrap() == old,
            "{on_conflict}"
        );
        assert_eq!(tree::list(&stored(&server)).len(), 1);
    }
}

#[test]
fn an_empty_file_is_stored() {
    let server = start("rename");
    let answer = server
        .client()
        .create_request("empty.bin", 0)
        .send(server.addr())
        .status_is(201)
        .json();
    assert_eq!(answer["completed"], true);
    assert_eq!(
        std::fs::read(stored(&server).join("empty.bin")).unwrap(),
        b""
    );
}

#[test]
fn odd_names_stay_inside() {
    let server = start("rename");
    for name in [".hidden", "...", "-rf", "grüße.bin", "a\"b", "*"] {
        assert_eq!(
            server
                .client()
                .upload(name, b"0123456789")
                .1
                .status_is(200)
                .json()["filename"],
            name
        );
        assert_eq!(
            std::fs::read(stored(&server).join(name)).unwrap(),
            b"0123456789",
            "{name}"
        );
    }
    let root: Vec<_> = std::fs::read_dir(server.root())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(root, ["cwd"]);
}

#[test]
fn a_session_finished_before_a_crash_stays_finished() {
    let mut server = start("rename");
    let (session, last) = server.client().upload("crash.bin", b"0123456789");
    let _ = last.status_is(200);
    server.restart();
    assert_eq!(server.client().state(&session), "completed");
    let _ = server
        .client()
        .put(&session, 0, b"0123456789")
        .status_is(200);
    assert_eq!(tree::list(&stored(&server)).len(), 1);
}

/// Sends a file of four chunks and kills the server a little after the last byte, later with
/// every `step`, then starts it again.
fn killed_at_the_end(server: &mut Server, name: &str, file: &[u8], step: u32) -> Session {
    let client = server.client();
    let session = client.create(name, file.len());
    for index in 0..3 {
        let _ = client.put_chunk(&session, file, index).status_is(200);
    }
    let last = client.chunk_request(&session, 3, session.chunk(file, 3));
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || last.try_send(client.addr()).is_ok());
        let end = Instant::now() + Duration::from_micros(60) * step;
        while Instant::now() < end && !sending.is_finished() {
            std::hint::spin_loop();
        }
        server.kill9();
    });
    session
}

/// Sends the last chunk once more, and waits for the end.
fn finished(server: &Server, session: &Session, file: &[u8]) {
    let again = server.client().put_chunk(session, file, 3);
    assert!(
        [200, 202].contains(&again.status),
        "{}",
        String::from_utf8_lossy(&again.body)
    );
    let _ = server.client().until_state(session, "completed");
}

#[test]
fn a_kill_while_it_is_stored_leaves_the_old_file_or_the_new_one() {
    let mut server = start("overwrite");
    let mut old = vec![0; 4 * CHUNK];
    let _ = server.client().upload("latest.bin", &old).1.status_is(200);
    let path = stored(&server).join("latest.bin");
    for step in 1..=30_u8 {
        let new = vec![step; 4 * CHUNK];
        let session = killed_at_the_end(&mut server, "latest.bin", &new, u32::from(step));
        let seen = std::fs::read(&path).expect("the name never vanishes");
        assert!(seen == old || seen == new, "step {step}");
        server.restart();
        let seen = std::fs::read(&path).expect("the name never vanishes");
        assert!(seen == old || seen == new, "step {step}");
        finished(&server, &session, &new);
        assert!(std::fs::read(&path).unwrap() == new, "step {step}");
        old = new;
    }
    assert_eq!(
        tree::list(&stored(&server)).len(),
        1,
        "nothing is left over"
    );
}

#[test]
fn a_kill_while_it_is_stored_makes_neither_two_nor_a_refusal() {
    for on_conflict in ["rename", "reject"] {
        let mut server = start(on_conflict);
        for step in 1..=30_u32 {
            let file = data::random(u64::from(step), 4 * CHUNK);
            let name = format!("step-{step}.bin");
            let session = killed_at_the_end(&mut server, &name, &file, step);
            server.restart();
            finished(&server, &session, &file);
            let held = tree::holding(&stored(&server), &file);
            assert_eq!(held, [PathBuf::from(name)], "{on_conflict}, step {step}");
        }
        assert_eq!(
            tree::list(&stored(&server)).len(),
            30,
            "nothing is left over"
        );
    }
}
