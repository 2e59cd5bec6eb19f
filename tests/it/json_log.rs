//! `logging.format = "json"`: whatever happens, each line is one object.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::Connection;
use steadfast_tests::process::Process;
use steadfast_tests::server::{free_address, program};
use steadfast_tests::upload::Client;
use steadfast_tests::wait::{self, SOON};

/// The lines that a server with this configuration writes on stderr, while `work` is done.
fn logged(extra: &str, work: impl FnOnce(&mut Process, &Client)) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    let config = Config::with(extra)
        .set("server", "bind", &address.to_string())
        .and("[logging]\nformat = \"json\"\nlevel = \"trace\"");
    let (path, log) = (dir.path().join("config.toml"), dir.path().join("log"));
    std::fs::write(&path, config.text()).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" --config \"$1\" 2> \"$2\""]);
    shell.arg(program()).arg(&path).arg(&log);
    shell.current_dir(dir.path()).stdin(Stdio::null());
    File::create(&log).unwrap();
    let mut process = Process::spawn(&mut shell);
    work(&mut process, &Client::new(address));
    let text = std::fs::read_to_string(&log).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = text.lines().map(parse).collect();
    for line in &lines {
        let text = |name: &str| {
            line[name]
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {line}"))
        };
        assert!(text("timestamp").ends_with('Z'), "{line}");
        assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&text("level")));
        assert!(!text("target").is_empty());
    }
    lines
}

fn says(lines: &[Value], message: &str) -> bool {
    lines.iter().any(|line| line["message"] == message)
}

#[test]
fn every_line_is_one_object_whatever_clients_send() {
    let names: [&[u8]; 6] = [
        b"plain.bin",
        b"\"}\\n{\"level\":\"ERROR\",\"message\":\"forged",
        b"back\\slash \\u000a",
        "\u{2028}\u{2029}\u{85}.bin".as_bytes(),
        b"\xff\xfe.bin",
        b"a\tb",
    ];
    let lines = logged("", |process, client| {
        wait::until("it listens", SOON, || {
            Connection::try_open(client.addr()).is_ok()
        });
        for name in names {
            let request = client.create_request("", CHUNK).replace("X-Filename", name);
            let _ = request.send(client.addr());
        }
        let (_, last) = client.upload("{\"a\": \"b\"}", &data::random(1, CHUNK));
        let _ = last.status_is(200);
        let strange = client.status_request("%0a%22%7d").header("X-\u{1}", "x");
        let _ = strange.try_send(client.addr());
        let _ = process.terminate(Duration::from_secs(30));
    });
    assert!(says(&lines, "upload created") && says(&lines, "upload ended"));
    assert!(!lines.iter().any(|line| line["message"] == "forged"));
}

#[test]
fn what_keeps_a_server_from_starting_is_one_object_too() {
    let extra = "[uploads]\nstate_dir = \"/proc/nothing\"";
    let lines = logged(extra, |process, _| {
        assert!(!process.wait(Duration::from_secs(30)).success());
    });
    let last = lines.last().expect("a line");
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["message"].as_str().unwrap().contains("state_dir"),
        "{last}"
    );
}
