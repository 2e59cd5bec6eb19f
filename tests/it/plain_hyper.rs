//! The example of a plain hyper service: the same uploads, without axum.

use std::process::Command;
use std::time::Duration;

use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::process::Process;
use steadfast_tests::upload::Client;

/// Long enough for a build from nothing.
const BUILT: Duration = Duration::from_secs(600);

#[test]
fn a_plain_hyper_service_is_resumable_too() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let mut example = Process::spawn(
        Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--locked", "--manifest-path", manifest])
            .args([
                "-p",
                "steadfast",
                "--example",
                "plain_hyper",
                "--",
                "127.0.0.1:0",
            ])
            .current_dir(dir.path()),
    );
    let addr = example.address(BUILT).unwrap();
    let (_, last) = Client::new(addr).upload("plain.bin", &data::random(1, 300_000));
    let done = last.status_is(200).json();
    assert_eq!(done["completed"], true);
    assert_eq!(done["handler"]["body"], "300000 bytes\n");
    let plain = Request::new("POST", "/upload")
        .body("abc")
        .send(addr)
        .status_is(200);
    assert_eq!(plain.body, b"3 bytes\n");
    let _ = Request::new("GET", "/other").send(addr).status_is(404);
}
