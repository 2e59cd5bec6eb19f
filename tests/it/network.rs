//! The network of the server changes.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::Connection;
use steadfast_tests::namespace::Namespace;
use steadfast_tests::server::Server;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

use crate::machine;

const DETECTED: &str = "Network change detected";
const PAUSED: &str = "Pausing all active uploads due to network change";
const RESUMED: &str = "Resuming all paused uploads";

/// Does `work` in a network with two interfaces, where there can be one.
fn in_a_network(test: &str, work: impl FnOnce(&Namespace) + Send) {
    if let Err(why) = Namespace::usable() {
        machine::report(&format!("skipped {test}: {why}"));
        return;
    }
    Namespace::run(|network| {
        network.add("wifi0", "192.0.2.1/24");
        network.add("lte0", "198.51.100.1/24");
        work(network);
    });
}

fn server(settle: &str) -> Server {
    let extra = format!("[server]\nnetworkevents = true\n[network]\nsettle = \"{settle}\"");
    Server::with(&Config::with(&extra))
}

fn count(server: &Server, said: &str) -> usize {
    server.logs().matches(said).count()
}

fn until_said(server: &Server, said: &str, times: usize) {
    wait::until(said, SOON, || count(server, said) >= times);
}

/// Bytes that unfinished uploads take on disk.
fn held(server: &Server) -> u64 {
    let files = std::fs::read_dir(server.state_dir()).unwrap().flatten();
    let data = files.filter(|file| file.path().extension().is_some_and(|is| is == "data"));
    data.map(|file| file.metadata().unwrap().blocks() * 512)
        .sum()
}

/// A chunk of which half is sent.
fn half_sent(server: &Server, session: &Session, file: &[u8], chunk: usize) -> Connection {
    let client = server.client();
    let bytes = session.chunk(file, chunk);
    let request = client.chunk_head(session, chunk);
    let request = request.header("Content-Length", bytes.len().to_string());
    let mut connection = Connection::open(server.addr());
    connection.write(&request.head()).unwrap();
    connection.write(&bytes[..bytes.len() / 2]).unwrap();
    connection
}

#[test]
fn a_change_pauses_uploads_until_it_is_quiet() {
    in_a_network("a_change_pauses_uploads_until_it_is_quiet", |network| {
        let server = server("2s");
        let file = data::random(1, 3 * CHUNK);
        let session = server.client().create("moving.bin", file.len());
        let mut begun = half_sent(&server, &session, &file, 0);
        // (what happens, how it is said)
        for (nth, (change, said)) in [
            ("link set wifi0 down", "wifi0 does not run"),
            ("link set wifi0 up", "wifi0 runs"),
            ("addr add 192.0.2.9/24 dev wifi0", "wifi0 has 192.0.2.9"),
            (
                "route add default via 198.51.100.2",
                "lte0 has a default route",
            ),
            ("link set veth-lte0 down", "lte0 does not run"),
        ]
        .into_iter()
        .enumerate()
        {
            let changed = Instant::now();
            network.ip(change);
            until_said(&server, PAUSED, nth + 1);
            assert!(changed.elapsed() < Duration::from_secs(1), "{change}");
            until_said(&server, said, 1);
            assert_eq!(server.client().status(&session)["paused"], true);
            until_said(&server, RESUMED, nth + 1);
            let paused = changed.elapsed();
            assert!(paused >= Duration::from_secs(2), "{change}: {paused:?}");
            assert_eq!(server.client().status(&session)["paused"], false);
        }
        let bytes = session.chunk(&file, 0);
        begun.write(&bytes[bytes.len() / 2..]).unwrap();
        let _ = begun.response("PUT").unwrap().status_is(200);
        // A new one waits for the network to settle.
        network.plug("lte0", true);
        until_said(&server, PAUSED, 6);
        let _ = server.client().put_chunk(&session, &file, 1).status_is(200);
        until_said(&server, RESUMED, 6);
        let last = server.client().put_chunk(&session, &file, 2).status_is(200);
        assert_eq!(last.json()["completed"], true);
    });
}

#[test]
fn interfaces_that_do_not_count_pause_nothing() {
    in_a_network("interfaces_that_do_not_count_pause_nothing", |network| {
        let server = server("1s");
        for name in ["docker7", "veth7", "br-7", "tap7"] {
            network.ip(&format!("link add {name} type veth peer name veth-{name}"));
            network.ip(&format!("addr add 203.0.113.1/24 dev {name}"));
            network.ip(&format!("link set {name} up"));
            network.ip(&format!("link del {name}"));
        }
        // Nor does one that has no address.
        network.ip("link add plain0 type veth peer name veth-plain0");
        // What was told before this was not told at all.
        network.ip("link set wifi0 down");
        until_said(&server, PAUSED, 1);
        let logs = server.logs();
        for name in ["docker7", "veth7", "br-7", "tap7", "plain0"] {
            assert!(!logs.contains(name), "{name}: {logs}");
        }
        assert_eq!(count(&server, DETECTED), 1, "{logs}");
        assert!(logs.contains("wifi0 does not run"), "{logs}");
    });
}

#[test]
fn a_network_that_never_settles_lets_uploads_through() {
    in_a_network(
        "a_network_that_never_settles_lets_uploads_through",
        |network| {
            let extra =
                "[server]\nnetworkevents = true\n[network]\nsettle = \"1s\"\nmax_pause = \"2s\"";
            let server = Server::with(&Config::with(extra));
            let chunks = 1_000;
            let file = data::random(2, chunks * CHUNK);
            let session = server.client().create("flapping.bin", file.len());
            let (begun, mut taken, mut is_up) = (Instant::now(), 0, true);
            let mut flapped = Instant::now();
            while begun.elapsed() < Duration::from_secs(9) && taken < chunks {
                if flapped.elapsed() > Duration::from_millis(500) {
                    is_up = !is_up;
                    network.plug("wifi0", is_up);
                    flapped = Instant::now();
                }
                // Leaves something for the whole time.
                std::thread::sleep(Duration::from_millis(20));
                let bytes = session.chunk(&file, taken);
                let mut connection = Connection::open(server.addr());
                let request = server.client().chunk_request(&session, taken, bytes);
                // In a pause nobody answers for a while.
                if connection
                    .exchange(&request)
                    .is_ok_and(|answer| answer.status == 200)
                {
                    taken += 1;
                }
            }
            assert!(taken >= 10, "{taken} chunks were taken");
            assert!(count(&server, "the network does not settle") >= 1);
            for chunk in taken..chunks.min(taken + 3) {
                let _ = server
                    .client()
                    .put_chunk(&session, &file, chunk)
                    .status_is(200);
            }
        },
    );
}

#[test]
fn a_client_that_leaves_in_a_pause_is_not_waited_for() {
    in_a_network(
        "a_client_that_leaves_in_a_pause_is_not_waited_for",
        |network| {
            let server = server("10s");
            let file = data::random(3, 9 * CHUNK);
            let session = server.client().create("leaving.bin", file.len());
            let _ = server.client().put_chunk(&session, &file, 8).status_is(200);
            wait::until("that connection is closed", SOON, || {
                server.connections() == 0
            });
            let (before, size) = (server.open_files(), held(&server));
            let reading = (0..4).map(|chunk| half_sent(&server, &session, &file, chunk));
            let reading: Vec<_> = reading.collect();
            // Which of them is being read is seen by what the file holds.
            wait::until("they are read", SOON, || {
                held(&server) >= size + 2 * CHUNK as u64
            });
            network.ip("link set wifi0 down");
            until_said(&server, PAUSED, 1);
            let waiting = (4..8).map(|chunk| half_sent(&server, &session, &file, chunk));
            let waiting: Vec<_> = waiting.collect();
            wait::until("they are there", SOON, || server.open_files() >= before + 8);
            drop((reading, waiting));
            let left = Instant::now();
            wait::until("they are gone", SOON, || server.open_files() <= before);
            let took = left.elapsed();
            assert!(took < Duration::from_secs(2), "{took:?}");
            assert_eq!(count(&server, RESUMED), 0, "in the pause");
        },
    );
}

#[test]
fn a_server_that_is_to_end_waits_for_no_network() {
    in_a_network("a_server_that_is_to_end_waits_for_no_network", |network| {
        let mut server = server("10s");
        let file = data::random(4, CHUNK);
        let session = server.client().create("ending.bin", file.len());
        let mut connection = half_sent(&server, &session, &file, 0);
        network.ip("link set wifi0 down");
        until_said(&server, PAUSED, 1);
        server.process().ask_to_end();
        connection.write(&file[CHUNK / 2..]).unwrap();
        let asked = Instant::now();
        // All bytes are safe; they are handed over after the next start.
        let _ = connection.response("PUT").unwrap().status_is(202);
        drop(connection);
        let _ = server.terminate();
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{:?}",
            asked.elapsed()
        );
    });
}
