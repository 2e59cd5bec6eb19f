//! A server over TLS, with certificates of its own, and its clients: curl and openssl.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use steadfast_tests::certificates::Certificates;
use steadfast_tests::config::Config;
use steadfast_tests::http::Request;
use steadfast_tests::secure::{self, Secure};
use steadfast_tests::server::Server;
use steadfast_tests::upload::{CHUNKED, Client, Session, sign};
use tempfile::TempDir;

/// A server and the directory of its certificates.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) certificates: Certificates,
    pub(crate) dir: TempDir,
}

/// `[server]` with the pair of this name, as the files are called.
pub(crate) fn pair(dir: &TempDir, name: &str) -> String {
    let path = |file: String| dir.path().join(file);
    let (cert, key) = (path(format!("{name}.pem")), path(format!("{name}.key")));
    format!("[server]\ntls_cert = {cert:?}\ntls_key = {key:?}\n")
}

/// A directory with certificates.
pub(crate) fn authority() -> (TempDir, Certificates) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let certificates = Certificates::make(dir.path());
    (dir, certificates)
}

/// What curl was told.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `2` or `1.1`.
    pub(crate) version: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

impl Site {
    /// Starts with `extra` over the base configuration, which begins with lines of `[server]`.
    pub(crate) fn start(extra: &str) -> Self {
        let (dir, certificates) = authority();
        let config = Config::with(&(pair(&dir, "server") + extra));
        let server = Server::with(&config);
        Self {
            server,
            certificates,
            dir,
        }
    }

    /// Runs curl with these words and `more`.
    pub(crate) fn curl(&self, words: &str, more: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--cacert"]);
        command.arg(self.certificates.authority());
        command.args(["-w", "\n%{http_code} %{http_version}"]);
        command.args(words.split_whitespace()).args(more);
        command.output().expect("curl runs")
    }

    /// An answer to curl, to whom the server must answer.
    pub(crate) fn answer(&self, words: &str, more: &[&str]) -> Answer {
        let output = self.curl(words, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {words}: {said}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, last) = text.rsplit_once('\n').expect("a last line");
        let (status, version) = last.split_once(' ').expect("two words");
        Answer {
            status: status.parse().expect("a status"),
            version: version.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.server.addr())
    }

    /// Creates a session by curl.
    pub(crate) fn create(&self, words: &str, size: usize) -> Session {
        let size = format!("X-Total-Size: {size}");
        let signature = format!("X-Signature: {}", sign(CHUNKED));
        let headers = ["-H", "X-Filename: a.bin", "-H", &size, "-H", &signature];
        let url = self.url(CHUNKED);
        let more = [&headers[..], &["-X", "POST", &url]].concat();
        let answer = self.answer(words, &more);
        assert_eq!(answer.status, 201, "{}", answer.body);
        Session::from_answer(answer.json())
    }

    /// Sends a chunk by curl.
    pub(crate) fn put(&self, words: &str, session: &Session, file: &[u8], chunk: usize) -> Answer {
        let path = self.dir.path().join("chunk");
        std::fs::write(&path, session.chunk(file, chunk)).expect("a chunk is written");
        let id = format!("X-Upload-Session-ID: {}", session.id);
        let number = format!("X-Chunk-Number: {chunk}");
        let from = path.to_string_lossy();
        let url = self.url(CHUNKED);
        let more = ["-H", &id, "-H", &number, "-T", &from, &url];
        self.answer(words, &more)
    }

    /// How many bytes of a session have arrived.
    pub(crate) fn uploaded(&self, session: &Session) -> u64 {
        let url = self.url(&format!("/upload/status?session_id={}", session.id));
        let status = self.answer("", &[&url]).json();
        status["uploaded_bytes"].as_u64().expect("a number")
    }

    /// A connection by openssl.
    pub(crate) fn connect(&self) -> Secure {
        self.connect_with("")
    }

    /// The same with further arguments.
    pub(crate) fn connect_with(&self, more: &str) -> Secure {
        Secure::open(self.server.addr(), &self.certificates.authority(), more)
    }

    /// What openssl says of a handshake.
    pub(crate) fn shake(&self, more: &str) -> String {
        let output = secure::shake(self.server.addr(), &self.certificates.authority(), more);
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The certificate that a new connection is shown, PEM.
    pub(crate) fn shown(&self) -> String {
        let said = self.shake("");
        let from = said.find("-----BEGIN").expect("a certificate");
        let to = said.find("-----END").expect("its end");
        said[from..to].to_owned()
    }

    /// Whether the pair of this name is shown to new connections.
    pub(crate) fn shows(&self, name: &str) -> bool {
        let file = std::fs::read_to_string(self.certificates.certificate(name));
        file.expect("a certificate").contains(&self.shown())
    }

    /// Where a file that names the certificate or the key lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// The head of a chunk's request with half of its bytes, and the other half. The server says
/// `100 Continue` once it reads them.
pub(crate) fn halves(site: &Site, session: &Session, file: &[u8], chunk: usize) -> [Vec<u8>; 2] {
    let bytes = session.chunk(file, chunk);
    let request: Request = Client::new(site.server.addr()).chunk_head(session, chunk);
    let mut first = request
        .header("Content-Length", bytes.len().to_string())
        .header("Expect", "100-continue")
        .head();
    let (one, other) = bytes.split_at(bytes.len() / 2);
    first.extend_from_slice(one);
    [first, other.to_vec()]
}
