//! TLS: who is let in, and what is settled.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use steadfast_tests::certificates::Certificates;
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request};
use steadfast_tests::message::{self, Signing};
use steadfast_tests::server::{self, Server};
use steadfast_tests::wait::{self, SOON};

use crate::message::create_request;
use crate::tls_harness::{Site, authority, pair};

#[test]
fn uploads_go_over_http1_and_http2() {
    let site = Site::start("");
    let file = data::random(1, 2 * CHUNK + 5);
    for (asked, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let session = site.create(asked, file.len());
        for chunk in [1, 0, 2] {
            let answer = site.put(asked, &session, &file, chunk);
            assert_eq!((answer.status, &*answer.version), (200, version));
            assert_eq!(answer.json()["completed"], chunk == 2, "{}", answer.body);
        }
        let stored = fs::read_dir(site.server.uploads_dir()).unwrap();
        let stored: Vec<_> = stored.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(stored.len(), 1, "{stored:?}");
        assert!(fs::read(&stored[0]).unwrap() == file, "{asked}");
        fs::remove_file(&stored[0]).unwrap();
    }
}

#[test]
fn protocols_and_versions_are_settled() {
    let site = Site::start("");
    // (what the client offers, what it is told)
    for (offered, said) in [
        ("-alpn h2,http/1.1", "ALPN protocol: h2"),
        ("-alpn http/1.1,h2", "ALPN protocol: h2"),
        ("-alpn http/1.1", "ALPN protocol: http/1.1"),
        ("-alpn spdy/1", "no application protocol"),
        ("", "No ALPN negotiated"),
        ("-tls1_3", "New, TLSv1.3,"),
        ("-tls1_2", "New, TLSv1.2,"),
        ("-tls1_1 -cipher ALL@SECLEVEL=0", "alert handshake failure"),
        ("-tls1 -cipher ALL@SECLEVEL=0", "alert handshake failure"),
    ] {
        let told = site.shake(offered);
        assert!(told.contains(said), "{offered}: {told}");
    }
    assert!(!site.shake("-tls1_1").contains("BEGIN CERTIFICATE"));
    // Without a word about protocols the first bytes tell them apart.
    let (url, health) = (site.url("/health"), "--no-alpn --http1.1");
    assert_eq!(site.answer(health, &[&url]).version, "1.1");
    let health = "--no-alpn --http2-prior-knowledge";
    assert_eq!(site.answer(health, &[&url]).version, "2");
    // What cannot be settled is the client's affair.
    assert!(!site.server.logs().contains("ERROR"));
    assert!(!site.server.logs().contains("WARN"));
}

#[test]
fn plain_http_is_told_to_speak_tls() {
    let site = Site::start("");
    let file = data::random(2, CHUNK);
    let upload = Request::new("POST", "/upload").body(file);
    for request in [Request::new("GET", "/health"), upload] {
        let answer = request.send(site.server.addr()).status_is(400);
        assert_eq!(answer.body, b"This port speaks https.\n");
    }
}

#[test]
fn only_clients_with_a_certificate_are_let_in() {
    let (dir, certificates) = authority();
    let server = pair(&dir, "server");
    let ca = certificates.authority();
    let mutual = format!("{server}tls_client_ca = {ca:?}\n");
    let site = Site {
        server: Server::with(&Config::with(&mutual)),
        certificates,
        dir,
    };
    let other = tempfile::tempdir().unwrap();
    let other = Certificates::make(other.path());
    let url = site.url("/health");
    let with = |certificates: &Certificates, name: &str| {
        let cert = certificates.certificate(name);
        let key = certificates.key(name);
        let words = format!("--cert {} --key {}", cert.display(), key.display());
        site.curl(&words, &[&url])
    };
    let let_in = with(&site.certificates, "client");
    assert!(let_in.status.success(), "{let_in:?}");
    for (refused, why) in [
        (site.curl("", &[&url]), "certificate required"),
        (with(&other, "client"), "alert"),
        // It was signed for a server.
        (with(&site.certificates, "server"), "alert"),
    ] {
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{said}");
    }
    // Each connection shows it anew.
    let client = format!(
        "-cert {} -key {} -tls1_2",
        site.certificates.certificate("client").display(),
        site.certificates.key("client").display()
    );
    let said = site.shake(&format!("{client} -reconnect"));
    assert_eq!(said.matches("New, TLSv1.2").count(), 6, "{said}");
    assert_eq!(said.matches("Reused, ").count(), 0, "{said}");
}

#[test]
fn sessions_are_resumed() {
    let site = Site::start("");
    let said = site.shake("-tls1_2 -reconnect");
    assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{said}");
    // A ticket of TLS 1.3 comes after the handshake.
    let ticket = site.path("ticket");
    let mut first = site.connect_with(&format!("-tls1_3 -sess_out {}", ticket.display()));
    first.write(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(first.ended().success());
    let said = site.shake(&format!("-tls1_3 -sess_in {}", ticket.display()));
    assert!(said.contains("Reused, TLSv1.3"), "{said}");
}

/// The port of https is the one that a host leaves out.
#[test]
fn a_signature_covers_the_host_without_the_port_of_https() {
    let site = Site::start("[security]\nschemes = [\"message\"]\n");
    for (host, status) in [("localhost:443", "201"), ("localhost:80", "401")] {
        let create = Signing::default().sign(create_request("a", 1), message::CREATE);
        let head = String::from_utf8(create.head()).unwrap();
        let mut client = site.connect();
        client.write(head.replace("localhost", host).as_bytes());
        client.until(&format!("HTTP/1.1 {status}"), 1);
    }
}

#[test]
fn files_that_cannot_be_used_keep_it_from_starting() {
    let (dir, certificates) = authority();
    certificates.renew("other");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("empty.pem"), "").unwrap();
    let cut = fs::read_to_string(path("server.pem"))
        .unwrap()
        .replace("-----END", "-");
    fs::write(path("cut.pem"), cut).unwrap();
    let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"];
    // (certificate, key, authority, what is said)
    for (cert, key, ca, key_said, said) in [
        ("none.pem", key, ca, "tls_cert", "none.pem cannot be read"),
        ("empty.pem", key, ca, "tls_cert", "no certificate"),
        ("cut.pem", key, ca, "tls_cert", "is damaged"),
        (key, key, ca, "tls_cert", "no certificate"),
        (cert, "none.key", ca, "tls_key", "none.key cannot be read"),
        (cert, cert, ca, "tls_key", "no private key"),
        (cert, "other.key", ca, "tls_key", "do not go together"),
        (cert, key, "none.pem", "tls_client_ca", "cannot be read"),
        (cert, key, key, "tls_client_ca", "no certificate"),
    ] {
        let [cert, key, ca] = [cert, key, ca].map(path);
        let server = format!("tls_cert = {cert:?}\ntls_key = {key:?}\ntls_client_ca = {ca:?}");
        let config = Config::with(&format!("[server]\n{server}"));
        let file = path("config.toml");
        fs::write(&file, config.text()).unwrap();
        let mut check = Command::new(server::program());
        let check = check.args(["--check-config", "--config"]).arg(&file);
        let checked = check.output().unwrap();
        assert_eq!(checked.status.code(), Some(2), "{server}");
        let checked = String::from_utf8_lossy(&checked.stderr).into_owned();
        for told in [checked, Server::refused(&config).1] {
            let told = told.replace("\n", " ");
            assert!(told.contains(said), "{server}: {told}");
            assert!(told.contains(&format!("server.{key_said}: ")), "{told}");
        }
    }
}

#[test]
fn what_is_doubtful_is_said() {
    let (dir, certificates) = authority();
    fs::set_permissions(certificates.key("server"), PermissionsExt::from_mode(0o640)).unwrap();
    certificates.expire("server");
    let server = Server::with(&Config::with(&pair(&dir, "server")));
    let logs = server.logs();
    assert!(logs.contains("(mode 640): chmod 600"), "{logs}");
    assert!(
        logs.contains("server.pem expired at 2001-01-01T00:00:00Z"),
        "{logs}"
    );
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let site = Site::start("[timeouts]\nheader_timeout = \"1s\"\n");
    // The head of a record that holds a ClientHello of 512 bytes, and the head of that.
    let half_hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0];
    let begun = Instant::now();
    let mut silent = Connection::open(site.server.addr());
    let mut half = Connection::open(site.server.addr());
    half.write(&half_hello).unwrap();
    // One that has shaken hands has no more time for its first head.
    let mut shaken = site.connect();
    assert!(silent.closed(SOON), "silent");
    assert!(half.closed(SOON), "half a ClientHello");
    assert!(shaken.ended().success(), "in good order");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    // Nobody else waited for them.
    let idle = TcpStream::connect(site.server.addr()).unwrap();
    let url = site.url("/health");
    assert_eq!(site.answer("", &[&url]).status, 200);
    drop(idle);
    wait::until("all are gone", SOON, || site.server.connections() == 0);
}
