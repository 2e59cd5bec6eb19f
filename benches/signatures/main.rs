//! What a signature costs: microseconds for each request that is checked, without hashing its body,
//! and whether the time tells where a wrong one differs.
//!
//! ```sh
//! cargo bench -p steadfast-benches --bench signatures
//! ```

use std::hint::black_box;
use std::io::{self, Write as _};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, Uri};
use steadfast::auth::message::{self, Message, Window};
use steadfast::auth::{KeyRing, Purpose};
use steadfast::config::Secret;
use steadfast_benches::median;

/// Rounds, in which all contestants take turns.
const ROUNDS: usize = 201;
/// Checks in a row, whose time is taken together.
const BATCH: u32 = 200;

/// A request as a client sends it.
struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    purpose: Purpose,
}

impl Request {
    fn new(purpose: Purpose, headers: &[(&'static str, &str)]) -> Self {
        let common = [
            ("host", "files.example"),
            ("user-agent", "curl/8.0"),
            ("accept", "*/*"),
        ];
        let all = common.iter().chain(headers).map(|(name, value)| {
            let value = HeaderValue::try_from(*value).expect("a value");
            (name.parse().expect("a name"), value)
        });
        Self {
            method: Method::PUT,
            uri: Uri::from_static("/upload/chunked"),
            headers: all.collect(),
            purpose,
        }
    }

    fn message(&self) -> Message<'_> {
        Message {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            prefix: "",
            is_secure: false,
        }
    }

    fn sign(mut self, ring: &KeyRing, now: u64) -> Self {
        let covered = self.purpose.required(&self.headers, false);
        let key = ring.signing().expect("a key");
        let signed = message::sign(key, &self.message(), &covered, now).expect("a signature");
        self.headers.insert(message::INPUT, signed.input);
        self.headers.insert(message::SIGNATURE, signed.signature);
        self
    }

    /// With the byte `at` of the code altered.
    fn altered(&self, at: usize) -> Self {
        let text = self.headers[message::SIGNATURE].to_str().expect("text");
        let (name, code) = text.split_once("=:").expect("a byte sequence");
        let mut code = STANDARD.decode(code.trim_end_matches(':')).expect("base64");
        code[at] ^= 1;
        let code = format!("{name}=:{}:", STANDARD.encode(code));
        let mut headers = self.headers.clone();
        headers.insert(
            message::SIGNATURE,
            HeaderValue::try_from(code).expect("a value"),
        );
        Self {
            headers,
            method: self.method.clone(),
            uri: self.uri.clone(),
            purpose: self.purpose,
        }
    }

    /// The time of one check, nanoseconds.
    fn time(&self, ring: &KeyRing, window: Window) -> f64 {
        let begun = Instant::now();
        for _ in 0..BATCH {
            let required = self.purpose.required(&self.headers, false);
            let verdict = message::verify(ring, &self.message(), &required, window);
            let _ = black_box(verdict);
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
    }
}

fn main() -> io::Result<()> {
    let secret = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec()).expect("a secret");
    let ring = KeyRing::of("default", secret);
    let window = Window {
        now: SystemTime::now().into(),
        max_skew: Duration::from_secs(300),
    };
    let now = window.now.0 / 1_000;
    let digest = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    let id = "node-1.0123456789012345678901234567890123456789012";
    let create = [
        ("x-filename", "recording_2026-11-21.mcap"),
        ("x-total-size", "1073741824"),
    ];
    let chunk = [
        ("x-upload-session-id", id),
        ("x-chunk-number", "204"),
        ("content-digest", digest),
    ];
    let create = Request::new(Purpose::Create, &create).sign(&ring, now);
    let chunk = Request::new(Purpose::Chunk, &chunk).sign(&ring, now);
    let (first, last) = (chunk.altered(0), chunk.altered(31));
    let contestants = [
        ("a create", create),
        ("a chunk", chunk),
        ("a chunk, wrong in the first byte", first),
        ("a chunk, wrong in the last byte", last),
    ];
    let mut times = vec![Vec::new(); contestants.len()];
    for round in 0..ROUNDS {
        for turn in 0..contestants.len() {
            let nth = (turn + round) % contestants.len();
            times[nth].push(contestants[nth].1.time(&ring, window));
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "Medians of {ROUNDS} rounds in turn, {BATCH} checks each:\n"
    )?;
    for ((name, _), times) in contestants.iter().zip(&times) {
        writeln!(
            out,
            "  {name:34} {:6.2} µs",
            median(times.iter().copied()) / 1e3
        )?;
    }
    let apart = times[2]
        .iter()
        .zip(&times[3])
        .map(|(first, last)| last - first);
    let apart = median(apart);
    writeln!(
        out,
        "\nLast byte less first byte, within a round: {apart:+.0} ns"
    )
}
