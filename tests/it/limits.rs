//! Refusals for want of room, and bounds on what the server itself uses.

use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::http::{Response, together};
use steadfast_tests::server::Server;
use steadfast_tests::tree;

#[track_caller]
fn assert_retry_after(response: &Response) {
    let after = response.text("retry-after").expect("when to come back");
    assert!(
        after.parse::<u64>().is_ok_and(|seconds| seconds >= 1),
        "{after}"
    );
}

#[test]
fn unfinished_sessions_are_counted() {
    let server = Server::start("[uploads]\nmax_sessions = 2");
    let client = server.client();
    let one = client.create("1.bin", 10);
    let two = client.create("2.bin", 10);
    let third = client.create_request("3.bin", 10);
    assert_retry_after(&third.send(server.addr()).refused(429, "too_many_sessions"));
    let _ = client.put(&one, 0, b"0123456789").status_is(200);
    let three = client.open(&third);
    third.send(server.addr()).refused(429, "too_many_sessions");
    let _ = client.cancel(&two).status_is(204);
    let _ = client.open(&third);
    let _ = client.put(&three, 0, b"0123456789").status_is(200);
}

#[test]
fn the_count_survives_a_restart() {
    let mut server = Server::start("[uploads]\nmax_sessions = 2");
    let _ = server.client().create("1.bin", 10);
    let _ = server.client().create("2.bin", 10);
    server.restart();
    // Headers are counted by a scan in the background.
    steadfast_tests::wait::until("the scan has counted", steadfast_tests::wait::SOON, || {
        let response = server
            .client()
            .create_request("3.bin", 10)
            .send(server.addr());
        if response.status == 201 {
            let session = steadfast_tests::upload::Session::from_answer(response.json());
            let _ = server.client().cancel(&session).status_is(204);
            return false;
        }
        response.refused(429, "too_many_sessions");
        true
    });
}

#[test]
fn unfinished_sessions_of_one_owner_are_counted() {
    let server = Server::start("[uploads]\nmax_sessions_per_owner = 1");
    let client = server.client();
    let one = client.create("1.bin", 10);
    let next = client.create_request("2.bin", 10);
    assert_retry_after(&next.send(server.addr()).refused(429, "too_many_sessions"));
    let _ = client.cancel(&one).status_is(204);
    let _ = client.open(&next);
}

#[test]
fn a_flood_of_creates_at_once_stays_within_the_count() {
    let server = Server::start("[uploads]\nmax_sessions = 5");
    let answers = together(40, |index| {
        server
            .client()
            .create_request(&format!("{index}.bin"), 10)
            .send(server.addr())
    });
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 5);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(429, "too_many_sessions");
    }
}

#[test]
fn a_file_has_a_largest_size() {
    let server = Server::start("[server]\nmax_upload_size = \"1MB\"");
    let client = server.client();
    let _ = client.create("exact.bin", 1 << 20);
    client
        .create_request("more.bin", (1 << 20) + 1)
        .send(server.addr())
        .refused(413, "too_large");
    client
        .create_request("most.bin", usize::MAX >> 1)
        .send(server.addr())
        .refused(413, "too_large");
}

#[test]
fn a_full_disk_is_noticed_at_create() {
    let server = Server::start("[uploads]\nmin_free_space = \"1000000GB\"");
    let response = server
        .client()
        .create_request("full.bin", 10)
        .send(server.addr());
    assert_retry_after(&response.refused(507, "no_space"));
    assert!(tree::list(&server.uploads_dir()).is_empty());
}

#[test]
fn a_file_larger_than_the_disk_is_refused_at_create() {
    let server = Server::start("[server]\nmax_upload_size = \"1000000GB\"");
    let response = server
        .client()
        .create_request("absurd.bin", 900_000 << 30)
        .send(server.addr());
    assert_retry_after(&response.refused(507, "no_space"));
    let _ = server.client().create("small.bin", 10);
}

#[test]
fn what_active_sessions_expect_is_set_aside() {
    let server = Server::start("[server]\nmax_upload_size = \"1000000GB\"");
    let free = rustix::fs::statvfs(server.root()).unwrap();
    let free = free.f_bavail * free.f_frsize;
    let most = usize::try_from(free / 10 * 6).unwrap();
    let first = server.client().create("first.bin", most);
    let second = server.client().create_request("second.bin", most);
    second.send(server.addr()).refused(507, "no_space");
    let _ = server.client().cancel(&first).status_is(204);
    let _ = server.client().open(&second);
}

#[test]
fn a_claimed_size_takes_no_room() {
    let server = Server::start("");
    let session = server.client().create("sparse.bin", 1 << 30);
    let _ = server
        .client()
        .put(&session, 16_383, &[1; CHUNK])
        .status_is(200);
    let held = tree::largest(&server.state_dir(), "").unwrap();
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(held).unwrap());
    assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
}

#[test]
fn memory_does_not_grow_with_what_is_sent() {
    let server = Server::start("[uploads]\nchunk_size = \"16MB\"");
    let file = data::random(1, 128 << 20);
    let before = server.memory("VmHWM");
    let session = server.client().create("memory.bin", file.len());
    let _ = together(4, |lane| {
        for index in (lane..session.total_chunks).step_by(4) {
            let _ = server
                .client()
                .put_chunk(&session, &file, index)
                .status_is(200);
        }
    });
    assert_eq!(server.client().state(&session), "completed");
    let grown = server.memory("VmHWM").saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB for 128 MiB", grown >> 20);
}

#[test]
fn descriptors_are_given_back() {
    let server = Server::start("");
    let _ = server
        .client()
        .upload("warm.bin", b"0123456789")
        .1
        .status_is(200);
    let before = server.open_files();
    for round in 0..100 {
        let (session, last) = server
            .client()
            .upload(&format!("{round}.bin"), b"0123456789");
        let _ = last.status_is(200);
        let _ = server.client().status(&session);
    }
    steadfast_tests::wait::until("they are closed", steadfast_tests::wait::SOON, || {
        server.open_files() <= before + 10
    });
}

#[test]
fn a_head_has_a_largest_size() {
    let server = Server::start("");
    let request = server
        .client()
        .create_request("head.bin", 10)
        .header("X-Filler", vec![b'x'; 40 * 1024]);
    let response = request.send(server.addr());
    assert_eq!(response.status, 431);
    let request = server
        .client()
        .create_request("head.bin", 10)
        .header("X-Filler", vec![b'x'; 16 * 1024]);
    let _ = request.send(server.addr()).status_is(201);
}

#[test]
fn an_idle_server_rests() {
    let server = Server::start("");
    let _ = server
        .client()
        .upload("idle.bin", b"0123456789")
        .1
        .status_is(200);
    let begin = std::time::Instant::now();
    let before = server.cpu_ticks();
    steadfast_tests::wait::until("two seconds", steadfast_tests::wait::SOON, || {
        begin.elapsed().as_secs() >= 2
    });
    let used = server.cpu_ticks() - before;
    assert!(used < 20, "{used} ticks in two seconds");
}
