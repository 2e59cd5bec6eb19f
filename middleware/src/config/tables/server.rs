use std::path::PathBuf;

use crate::config::cidr::Cidr;
use crate::config::key::{Key, key};
use crate::config::kind::{Count, FilePath, Flag, List, Network, Optional, Size, Text};
use crate::config::text;
use crate::config::units::{GB, KB, MB, SIZE_MAX};

/// `[server]`: where the program listens and what it takes. The keys on workers and on the network
/// stand here as in the seed's network resilience guide.
#[derive(Debug, Clone)]
pub struct Server {
    /// `host:port` to listen on; the host may be a name. Used by the example server only.
    pub bind: String,
    /// The largest file, in bytes: declared and counted.
    pub max_upload_size: u64,
    /// This server's name; its session ids start with it. 1 to 32 of `a-z`, `0-9`, `-`.
    pub name: Option<String>,
    /// `http(s)://host[:port]` that other servers name when an upload belongs to this one.
    pub advertise: Option<String>,
    /// What `Location` starts with when the app is mounted below another path: `""` or `/x`.
    pub public_base: String,
    /// The only peers that may set `Forwarded` and `X-Forwarded-For`.
    pub trusted_proxies: Vec<Cidr>,
    /// Connections open at once.
    pub max_connections: usize,
    /// The PEM file of the certificate chain, the server's own first.
    pub tls_cert: Option<PathBuf>,
    /// The PEM file of the certificate's key.
    pub tls_key: Option<PathBuf>,
    /// The PEM file of the authorities whose clients are let in (mutual TLS).
    pub tls_client_ca: Option<PathBuf>,
    /// The largest request head, in bytes.
    pub max_header_size: u64,
    /// Whether the number of workers grows and shrinks with the queue (seed).
    pub enable_dynamic_workers: bool,
    /// The queue length at which a worker is added (seed).
    pub worker_scale_up_thresh: usize,
    /// The queue length at or below which a worker is removed (seed).
    pub worker_scale_down_thresh: usize,
    /// Whether uploads pause while the network changes (seed).
    pub networkevents: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".to_owned(),
            max_upload_size: 10 * GB,
            name: None,
            advertise: None,
            public_base: String::new(),
            trusted_proxies: Vec::new(),
            max_connections: 4096,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            max_header_size: 32 * KB,
            enable_dynamic_workers: true,
            worker_scale_up_thresh: 50,
            worker_scale_down_thresh: 10,
            networkevents: true,
        }
    }
}

impl Server {
    /// The files of TLS that are named, each with its key.
    pub(crate) fn tls_files(&self) -> Vec<(&'static str, PathBuf)> {
        let files = [
            ("server.tls_cert", &self.tls_cert),
            ("server.tls_key", &self.tls_key),
            ("server.tls_client_ca", &self.tls_client_ca),
        ];
        let named = files.into_iter();
        named
            .filter_map(|(key, path)| Some((key, path.clone()?)))
            .collect()
    }
}

pub(super) fn keys() -> Vec<Key> {
    let host_port = Text {
        expected: "an address and a port such as \"127.0.0.1:8080\"",
        valid: text::is_host_port,
    };
    let name = Text {
        expected: "1 to 32 of a-z, 0-9 and \"-\"",
        valid: text::is_server_name,
    };
    let origin = Text {
        expected: "a URL without a path such as \"https://node1.example\"",
        valid: text::is_origin,
    };
    let prefix = Text {
        expected: "\"\" or a path such as \"/files\", without a slash at its end",
        valid: text::is_url_prefix,
    };
    // hyper refuses to work with less than 8 KB.
    let head = Size(8 * KB..=16 * MB);
    vec![
        key("server.bind", host_port, |c| &mut c.server.bind),
        key("server.max_upload_size", Size(1..=SIZE_MAX), |c| {
            &mut c.server.max_upload_size
        }),
        key("server.name", Optional(name), |c| &mut c.server.name),
        key("server.advertise", Optional(origin), |c| {
            &mut c.server.advertise
        }),
        key("server.public_base", prefix, |c| &mut c.server.public_base),
        key("server.trusted_proxies", List(Network), |c| {
            &mut c.server.trusted_proxies
        }),
        key("server.max_connections", Count(1..=1_000_000), |c| {
            &mut c.server.max_connections
        }),
        key("server.tls_cert", Optional(FilePath), |c| {
            &mut c.server.tls_cert
        }),
        key("server.tls_key", Optional(FilePath), |c| {
            &mut c.server.tls_key
        }),
        key("server.tls_client_ca", Optional(FilePath), |c| {
            &mut c.server.tls_client_ca
        }),
        key("server.max_header_size", head, |c| {
            &mut c.server.max_header_size
        }),
        key("server.enable_dynamic_workers", Flag, |c| {
            &mut c.server.enable_dynamic_workers
        }),
        key("server.worker_scale_up_thresh", Count(1..=1_000_000), |c| {
            &mut c.server.worker_scale_up_thresh
        }),
        key(
            "server.worker_scale_down_thresh",
            Count(0..=1_000_000),
            |c| &mut c.server.worker_scale_down_thresh,
        ),
        key("server.networkevents", Flag, |c| {
            &mut c.server.networkevents
        }),
    ]
}
