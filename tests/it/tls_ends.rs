//! How connections over TLS end.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::namespace::Namespace;
use steadfast_tests::secure::Secure;
use steadfast_tests::wait::{self, SOON};

use crate::machine;
use crate::tls_harness::{Site, halves};

const ASK: &[u8] = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";

/// A way to `target` whose end there is ours: forwards one connection.
fn relay(target: SocketAddr) -> (SocketAddr, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = TcpStream::connect(target).unwrap();
    let (mut from, mut to) = (server.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let (mut client, _) = listener.accept()?;
        let mut back = client.try_clone()?;
        thread::spawn(move || io::copy(&mut from, &mut back));
        io::copy(&mut client, &mut to)
    });
    (addr, server)
}

/// How a connection ends in the middle of a chunk.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The client's process dies: the connection is closed without a word of TLS.
    Vanished,
    /// Our end of the network says that no more will come: the same from a man in the middle.
    Truncated,
    /// It is reset.
    Reset,
}

#[test]
fn a_chunk_that_is_cut_off_does_not_count() {
    let site = Site::start("");
    let file = data::random(1, 3 * CHUNK);
    let session = site.create("", file.len());
    for (chunk, cut) in [Cut::Vanished, Cut::Truncated, Cut::Reset]
        .into_iter()
        .enumerate()
    {
        let (addr, network) = match cut {
            Cut::Vanished => (site.server.addr(), None),
            Cut::Truncated | Cut::Reset => {
                let (addr, network) = relay(site.server.addr());
                (addr, Some(network))
            }
        };
        let mut client = Secure::open(addr, &site.certificates.authority(), "");
        client.write(ASK);
        client.until("HTTP/1.1 200", 1);
        let [first, other] = halves(&site, &session, &file, chunk);
        client.write(&first);
        // All of the chunk but its last byte.
        client.write(&other[..other.len() - 1]);
        match (cut, network) {
            (Cut::Truncated, Some(network)) => network.shutdown(Shutdown::Write).unwrap(),
            (Cut::Reset, Some(network)) => {
                // Once every handle on it is closed.
                set_socket_linger(&network, Some(Duration::ZERO)).unwrap();
                network.shutdown(Shutdown::Read).unwrap();
                client.vanish();
            }
            _ => client.vanish(),
        }
        wait::until("it is over", SOON, || site.server.connections() == 0);
        assert_eq!(site.uploaded(&session), (chunk * CHUNK) as u64, "{cut:?}");
        assert_eq!(site.put("", &session, &file, chunk).status, 200, "{cut:?}");
    }
    assert!(
        !site.server.logs().contains("ERROR"),
        "{}",
        site.server.logs()
    );
}

#[test]
fn a_server_that_ends_lets_requests_finish() {
    let mut site = Site::start("");
    let file = data::random(2, 2 * CHUNK);
    let session = site.create("", file.len());
    let mut idle = site.connect();
    idle.write(ASK);
    idle.until("HTTP/1.1 200", 1);
    let mut busy = site.connect();
    let [first, other] = halves(&site, &session, &file, 0);
    busy.write(ASK);
    busy.until("HTTP/1.1 200", 1);
    busy.write(&first);
    busy.until("HTTP/1.1 100", 1);
    let silent = TcpStream::connect(site.server.addr()).unwrap();
    wait::until("they are there", SOON, || site.server.connections() >= 3);
    let begun = Instant::now();
    site.server.process().ask_to_end();
    assert!(idle.ended().success(), "the client was told");
    busy.write(&other);
    busy.until("HTTP/1.1 200", 2);
    assert!(
        busy.received().contains("connection: close"),
        "{}",
        busy.received()
    );
    assert!(busy.ended().success(), "the client was told");
    assert!(site.server.terminate().success());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(site.server.logs().contains("with everything finished"));
    drop(silent);
}

#[test]
fn what_is_cut_does_not_end_in_good_order() {
    let mut site = Site::start("[timeouts]\nshutdown = \"1s\"\n");
    let file = data::random(3, 2 * CHUNK);
    let session = site.create("", file.len());
    let mut busy = site.connect();
    busy.write(ASK);
    busy.until("HTTP/1.1 200", 1);
    busy.write(&halves(&site, &session, &file, 0)[0]);
    busy.until("HTTP/1.1 100", 1);
    let begun = Instant::now();
    site.server.process().ask_to_end();
    assert!(!busy.ended().success(), "it was cut");
    let _ = site.server.terminate();
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn an_idle_connection_ends_in_good_order() {
    let site = Site::start("[timeouts]\nidletimeout = \"1s\"\n");
    let mut idle = site.connect();
    idle.write(ASK);
    idle.until("HTTP/1.1 200", 1);
    assert!(idle.ended().success(), "the client was told");
    wait::until("it is gone", SOON, || site.server.connections() == 0);
}

#[test]
fn a_client_that_leaves_in_a_pause_is_not_waited_for() {
    if let Err(why) = Namespace::usable() {
        machine::report(&format!("skipped a client that leaves in a pause: {why}"));
        return;
    }
    Namespace::run(|network| {
        network.add("wifi0", "192.0.2.1/24");
        let site = Site::start("networkevents = true\n[network]\nsettle = \"10s\"\n");
        let file = data::random(4, 5 * CHUNK);
        let session = site.create("", file.len());
        assert_eq!(site.put("", &session, &file, 4).status, 200);
        wait::until("curl is gone", SOON, || site.server.connections() == 0);
        let before = site.server.open_files();
        let begin = |chunk| {
            let mut client = site.connect();
            client.write(ASK);
            client.until("HTTP/1.1 200", 1);
            client.write(&halves(&site, &session, &file, chunk)[0]);
            client
        };
        let mut clients = vec![begin(0), begin(1)];
        network.ip("link set wifi0 down");
        let paused = "Pausing all active uploads";
        wait::until(paused, SOON, || site.server.logs().contains(paused));
        clients.extend([begin(2), begin(3)]);
        clients.into_iter().for_each(Secure::vanish);
        let left = Instant::now();
        wait::until("they are gone", SOON, || {
            site.server.connections() == 0 && site.server.open_files() <= before
        });
        let took = left.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(!site.server.logs().contains("Resuming"), "in the pause");
    });
}
