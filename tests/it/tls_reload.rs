//! Certificates that are replaced while the server runs.

use std::fs;
use std::os::unix::fs::symlink;

use steadfast_tests::config::Config;
use steadfast_tests::server::Server;
use steadfast_tests::wait::{self, SOON};

use crate::tls_harness::{Site, authority, pair};

const REPLACED: &str = "the files of TLS were replaced";
const ASK: &[u8] = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";

fn until_said(site: &Site, said: &str, times: usize) {
    wait::until(said, SOON, || {
        site.server.logs().matches(said).count() >= times
    });
}

/// The configuration loses the keys whose names begin so.
fn write_without(site: &Site, key: &str) {
    let text = site.server.config_with("");
    let lines = text.lines().filter(|line| !line.starts_with(key));
    let lines: Vec<_> = lines.collect();
    assert!(lines.len() < text.lines().count());
    fs::write(site.server.config_file(), lines.join("\n")).unwrap();
}

fn renew(site: &Site, name: &str) {
    site.certificates.renew(name);
}

#[test]
fn new_connections_are_shown_what_was_renamed_into_place() {
    let site = Site::start("");
    let mut old = site.connect();
    old.write(ASK);
    old.until("HTTP/1.1 200", 1);
    assert!(site.shows("server"));
    renew(&site, "next");
    fs::copy(site.path("server.pem"), site.path("before.pem")).unwrap();
    for kind in ["key", "pem"] {
        let from = site.path(&format!("next.{kind}"));
        fs::rename(from, site.path(&format!("server.{kind}"))).unwrap();
    }
    until_said(&site, REPLACED, 1);
    assert!(site.shows("server") && !site.shows("before"));
    // The connection from before goes on.
    old.write(ASK);
    old.until("HTTP/1.1 200", 2);
    // The same again is nothing new.
    fs::copy(site.path("server.pem"), site.path("copy.pem")).unwrap();
    fs::rename(site.path("copy.pem"), site.path("server.pem")).unwrap();
    // Written in place, by who does not know better.
    renew(&site, "third");
    for kind in ["key", "pem"] {
        let text = fs::read(site.path(&format!("third.{kind}"))).unwrap();
        fs::write(site.path(&format!("server.{kind}")), text).unwrap();
    }
    wait::until("it is shown", SOON, || site.shows("third"));
    until_said(&site, REPLACED, 2);
    assert_eq!(site.server.logs().matches(REPLACED).count(), 2);
}

/// As Kubernetes replaces the files of a secret.
#[test]
fn a_link_to_a_directory_may_be_exchanged() {
    let (dir, certificates) = authority();
    certificates.renew("next");
    for (version, name) in [("1", "server"), ("2", "next")] {
        fs::create_dir(dir.path().join(version)).unwrap();
        for kind in ["pem", "key"] {
            let from = dir.path().join(format!("{name}.{kind}"));
            let to = dir.path().join(format!("{version}/tls.{kind}"));
            fs::copy(from, to).unwrap();
        }
    }
    symlink("1", dir.path().join("..data")).unwrap();
    for kind in ["pem", "key"] {
        let link = dir.path().join(format!("tls.{kind}"));
        symlink(format!("..data/tls.{kind}"), link).unwrap();
    }
    let site = Site {
        server: Server::with(&Config::with(&pair(&dir, "tls"))),
        certificates,
        dir,
    };
    assert!(site.shows("server"));
    symlink("2", site.path("..tmp")).unwrap();
    fs::rename(site.path("..tmp"), site.path("..data")).unwrap();
    until_said(&site, REPLACED, 1);
    assert!(site.shows("next"));
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let site = Site::start("");
    renew(&site, "other");
    let good = fs::read(site.path("server.key")).unwrap();
    let stays = "TLS stays as it is";
    let other = fs::read(site.path("other.key")).unwrap();
    let steps = [
        (Some(other), "server.key and the certificate in"),
        (Some(b"none".to_vec()), "server.key holds no private key"),
        (None, "server.key cannot be read"),
    ];
    for (times, (text, said)) in steps.into_iter().enumerate() {
        match text {
            Some(text) => {
                fs::write(site.path("new"), text).unwrap();
                fs::rename(site.path("new"), site.path("server.key")).unwrap();
            }
            None => fs::remove_file(site.path("server.key")).unwrap(),
        }
        until_said(&site, said, 1);
        until_said(&site, stays, times + 1);
        assert!(site.shows("server"), "{said}");
    }
    // A change of something else needs no files that are there.
    let extra = pair(&site.dir, "server") + "max_upload_size = \"1000\"";
    fs::write(site.server.config_file(), site.server.config_with(&extra)).unwrap();
    until_said(&site, "server.max_upload_size = \"1000\"", 1);
    fs::write(site.path("server.key"), good).unwrap();
    fs::copy(site.path("other.pem"), site.path("server.pem")).unwrap();
    fs::copy(site.path("other.key"), site.path("server.key")).unwrap();
    until_said(&site, REPLACED, 1);
    assert!(site.shows("other"));
}

#[test]
fn other_paths_are_followed() {
    let site = Site::start("");
    renew(&site, "next");
    let configure = |extra: &str| {
        let text = site.server.config_with(extra);
        fs::write(site.server.config_file(), text).unwrap();
    };
    configure(&pair(&site.dir, "absent"));
    until_said(&site, "absent.pem cannot be read", 1);
    until_said(&site, "the configuration in force stays as it is", 1);
    assert!(site.shows("server"));
    configure(&pair(&site.dir, "next"));
    until_said(&site, "server.tls_cert = ", 1);
    assert!(site.shows("next"));
    // From here on these files are watched.
    renew(&site, "next");
    until_said(&site, REPLACED, 1);
    assert!(site.shows("next"));
    // Neither is what comes in the clear taken now.
    write_without(&site, "tls_");
    until_said(&site, "server.tls_cert = not set needs a restart", 1);
    assert!(site.shows("next"));
    assert_eq!(site.answer("", &[&site.url("/health")]).status, 200);
}

#[test]
fn clients_without_a_certificate_stay_out_whatever_is_replaced() {
    let (dir, certificates) = authority();
    let mutual = |name: &str| {
        let ca = certificates.authority();
        format!("{}tls_client_ca = {ca:?}\n", pair(&dir, name))
    };
    certificates.renew("next");
    let (first, second) = (mutual("server"), mutual("next"));
    let site = Site {
        server: Server::with(&Config::with(&first)),
        certificates,
        dir,
    };
    let url = site.url("/health");
    let client = format!(
        "--cert {} --key {}",
        site.certificates.certificate("client").display(),
        site.certificates.key("client").display()
    );
    // Nobody but who shows a certificate is let in.
    let is_refused = || {
        assert_eq!(site.answer(&client, &[&url]).status, 200);
        let refused = site.curl("", &[&url]);
        let said = String::from_utf8_lossy(&refused.stderr);
        !refused.status.success() && said.contains("certificate required")
    };
    assert!(is_refused());
    write_without(&site, "tls_client_ca");
    until_said(&site, "server.tls_client_ca = not set needs a restart", 1);
    assert!(is_refused());
    renew(&site, "server");
    until_said(&site, REPLACED, 1);
    assert!(is_refused());
    let text = site.server.config_with(&second);
    fs::write(site.server.config_file(), text).unwrap();
    until_said(&site, "server.tls_cert = ", 1);
    assert!(is_refused());
    renew(&site, "next");
    until_said(&site, REPLACED, 2);
    assert!(is_refused());
}
