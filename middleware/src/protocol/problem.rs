use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::Reply;
use crate::engine::Refusal;
use crate::store::Peer;
use crate::upload::{Timestamp, UploadKey};

/// Where a client finds the server that keeps its upload.
const UPLOAD_SERVER: HeaderName = HeaderName::from_static("x-upload-server");

/// What a client can tell refusals apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// HTTP status.
    pub status: StatusCode,
    /// The `code` member.
    pub name: &'static str,
    /// The `title` member: the same for every refusal of this code.
    pub title: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $status:ident $name:literal $title:literal;)*) => {
        impl Code {
            $(#[doc = $title] pub const $constant: Self =
                Self { status: StatusCode::$status, name: $name, title: $title };)*
        }
    };
}

codes! {
    MISSING_HEADER = BAD_REQUEST "missing_header" "A required header is missing.";
    MISSING_PARAMETER = BAD_REQUEST "missing_parameter" "A required parameter is missing.";
    DUPLICATE_HEADER = BAD_REQUEST "duplicate_header" "A header appears twice.";
    BAD_NUMBER = BAD_REQUEST "bad_number" "A number is malformed.";
    BAD_FILENAME = BAD_REQUEST "bad_filename" "The file name is not allowed.";
    BAD_DIGEST = BAD_REQUEST "bad_digest" "A digest is malformed or of an unknown kind.";
    BAD_CONTENT_TYPE = BAD_REQUEST "bad_content_type" "The media type is malformed.";
    BAD_IDEMPOTENCY_KEY = BAD_REQUEST "bad_idempotency_key" "The idempotency key is malformed.";
    BAD_CHUNK_SIZE = BAD_REQUEST "bad_chunk_size" "The chunk size is out of bounds.";
    UNEXPECTED_BODY = BAD_REQUEST "unexpected_body" "This request carries no body.";
    CHUNK_LENGTH = BAD_REQUEST "chunk_length" "The chunk has the wrong length.";
    CHUNK_RANGE = BAD_REQUEST "chunk_range" "There is no such chunk.";
    BODY_INCOMPLETE = BAD_REQUEST "body_incomplete" "The request body ended early.";
    DIGEST_MISMATCH = BAD_REQUEST "digest_mismatch" "The bytes are not what their digest says.";
    SIGNATURE_MISSING = UNAUTHORIZED "signature_missing" "The request carries no signature.";
    SIGNATURE_INVALID = UNAUTHORIZED "signature_invalid" "The signature is not valid.";
    SIGNATURE_INCOMPLETE = UNAUTHORIZED "signature_incomplete" "The signature covers too little.";
    SIGNATURE_EXPIRED = UNAUTHORIZED "signature_expired" "The time of the signature is not now.";
    SIGNATURE_REPLAYED = UNAUTHORIZED "signature_replayed" "The signature was used before.";
    FORBIDDEN_ADDRESS = FORBIDDEN "forbidden_address" "The address may not upload.";
    NO_SESSION = NOT_FOUND "no_session" "There is no such upload.";
    METHOD = METHOD_NOT_ALLOWED "method_not_allowed" "The method is not allowed here.";
    SUPERSEDED = CONFLICT "superseded" "A newer request for this chunk took over.";
    CHUNK_CONFLICT = CONFLICT "chunk_conflict" "The chunk is held with other bytes.";
    HANDOFF_UNKNOWN = CONFLICT "handoff_unknown" "Nobody can tell whether the file was taken.";
    FINISHING = CONFLICT "finishing" "The upload is being finished.";
    COMPLETED = CONFLICT "completed" "The upload is completed.";
    CANCELLED = GONE "cancelled" "The upload was cancelled.";
    WRONG_SERVER = MISDIRECTED_REQUEST "wrong_server" "Another server keeps this upload.";
    STATE_LOST = GONE "state_lost" "The server cannot keep its promise for this upload.";
    TOO_SLOW = REQUEST_TIMEOUT "too_slow" "The request body came too slowly.";
    TOO_LARGE = PAYLOAD_TOO_LARGE "too_large" "The file is too large.";
    IDEMPOTENCY_MISMATCH = UNPROCESSABLE_ENTITY "idempotency_mismatch"
        "The idempotency key was used for another file.";
    TOO_MANY_SESSIONS = TOO_MANY_REQUESTS "too_many_sessions" "There are too many uploads.";
    INTERNAL = INTERNAL_SERVER_ERROR "internal" "The server failed.";
    UNDELIVERED_BAD_GATEWAY = BAD_GATEWAY "undelivered" "The file could not be handed over yet.";
    UNDELIVERED_TIMEOUT = GATEWAY_TIMEOUT "undelivered" "The file could not be handed over yet.";
    UNDELIVERED_UNAVAILABLE = SERVICE_UNAVAILABLE "undelivered" "The file has no place yet.";
    PAUSED = SERVICE_UNAVAILABLE "paused" "Uploads wait for the network.";
    BUSY = SERVICE_UNAVAILABLE "busy" "The server is busy.";
    DRAINING = SERVICE_UNAVAILABLE "draining" "The server is shutting down.";
    STORE_UNAVAILABLE = SERVICE_UNAVAILABLE "store_unavailable" "The server cannot keep uploads now.";
    RATE_LIMITED = TOO_MANY_REQUESTS "rate_limited" "There are too many requests.";
    TOO_MANY_STREAMS = TOO_MANY_REQUESTS "too_many_streams"
        "There are too many streams of this upload.";
    NO_SPACE = INSUFFICIENT_STORAGE "no_space" "There is not enough space.";
}

/// A refusal (RFC 9457). It holds nothing but what the client may read: no cause, no path, no
/// secret.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    key: Option<UploadKey>,
    expected: Option<u64>,
    retry_after: Option<u64>,
    server_time: Option<Timestamp>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal; `detail` is a sentence that says what was wrong and what is allowed.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            code,
            detail,
            key: None,
            expected: None,
            retry_after: None,
            server_time: None,
            headers: Vec::new(),
        }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Names the upload.
    #[must_use]
    pub fn about(self, key: UploadKey) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// Says which length in bytes would be right.
    #[must_use]
    pub fn expecting(self, expected: u64) -> Self {
        Self {
            expected: Some(expected),
            ..self
        }
    }

    /// Says when to try again, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Says what the time is here.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self {
            server_time: Some(now),
            ..self
        }
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The response.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        let mut members = Map::new();
        let kind = format!("urn:steadfast:problem:{}", self.code.name);
        members.insert("type".to_owned(), kind.into());
        members.insert("title".to_owned(), self.code.title.into());
        members.insert("status".to_owned(), self.code.status.as_u16().into());
        members.insert("detail".to_owned(), self.detail.into());
        members.insert("code".to_owned(), self.code.name.into());
        if let Some(key) = self.key {
            members.insert("key".to_owned(), key.to_string().into());
        }
        for (name, number) in [
            ("expected", self.expected),
            ("retry_after", self.retry_after),
        ] {
            if let Some(number) = number {
                members.insert(name.to_owned(), number.into());
            }
        }
        if let Some(now) = self.server_time {
            members.insert("server_time".to_owned(), super::reply::rfc3339(now).into());
        }
        let mut reply = super::reply::json(self.code.status, &Value::Object(members));
        // For whoever counts refusals.
        reply.extensions_mut().insert(self.code);
        let headers = reply.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        reply
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = |code, detail: &str| Self::new(code, detail);
        let told = match refusal {
            Refusal::NoSession => problem(
                Code::NO_SESSION,
                "The session is unknown, expired, or malformed; create a new one.",
            ),
            Refusal::Cancelled => problem(Code::CANCELLED, "Create a new session to start again."),
            Refusal::Finishing => {
                problem(Code::FINISHING, "All bytes are here; ask for the status.")
            }
            Refusal::Completed => problem(Code::COMPLETED, "The file has been delivered."),
            Refusal::ChunkRange { total_chunks } => {
                let detail = format!("The upload has {total_chunks} chunks, counted from 0.");
                Self::new(Code::CHUNK_RANGE, detail)
            }
            Refusal::ChunkLength { expected } => {
                let detail = format!("This chunk has exactly {expected} bytes.");
                Self::new(Code::CHUNK_LENGTH, detail).expecting(expected)
            }
            Refusal::DigestMismatch => problem(
                Code::DIGEST_MISMATCH,
                "The bytes that arrived do not match Content-Digest; send the chunk again.",
            ),
            Refusal::ChunkConflict => problem(
                Code::CHUNK_CONFLICT,
                "The chunk is held already, and these bytes differ from it.",
            ),
            Refusal::Superseded => problem(
                Code::SUPERSEDED,
                "Nothing of this request was kept; the newer request decides.",
            ),
            Refusal::StateLost => problem(
                Code::STATE_LOST,
                "What was stored about this upload is damaged; create a new session.",
            ),
            Refusal::TooLarge { bytes_max } => Self::new(
                Code::TOO_LARGE,
                format!("At most {bytes_max} bytes are allowed."),
            ),
            Refusal::TooManySessions => problem(
                Code::TOO_MANY_SESSIONS,
                "Finish or cancel other uploads, or try again later.",
            ),
            Refusal::TooManyStreams { of_upload: true } => problem(
                Code::TOO_MANY_STREAMS,
                "Close another stream of its events, or ask for the status.",
            ),
            Refusal::NoSpace => problem(Code::NO_SPACE, "Nothing of this request was kept."),
            Refusal::IdempotencyMismatch => problem(
                Code::IDEMPOTENCY_MISMATCH,
                "An earlier request used this Idempotency-Key with another declaration.",
            ),
            Refusal::BodyIncomplete => problem(
                Code::BODY_INCOMPLETE,
                "Nothing of this request was kept; send it again.",
            ),
            Refusal::TooSlow => problem(
                Code::TOO_SLOW,
                "Nothing of this request was kept; send it again when the connection is better.",
            ),
            ref other => of_server(other),
        };
        match seconds_until_retry(&refusal) {
            Some(seconds) => told.retry_after(seconds),
            None => told,
        }
    }
}

/// Refusals for what the server cannot do now, or this one never.
fn of_server(refusal: &Refusal) -> Problem {
    let problem = |code, detail: &str| Problem::new(code, detail);
    match refusal {
        Refusal::Busy => problem(
            Code::BUSY,
            "Another request for these bytes is still running.",
        ),
        Refusal::TooManyStreams { .. } => problem(
            Code::BUSY,
            "The server has as many streams of events as it may; ask for the status.",
        ),
        Refusal::Crowded => problem(
            Code::BUSY,
            "The disk of the server does not keep up; send this again in a moment.",
        ),
        Refusal::RateLimited { .. } => problem(
            Code::RATE_LIMITED,
            "Wait as long as Retry-After says before the next request.",
        ),
        Refusal::Unavailable => problem(
            Code::STORE_UNAVAILABLE,
            "The server's disk failed; nothing that was acknowledged is given up.",
        ),
        Refusal::Unreachable => problem(
            Code::STORE_UNAVAILABLE,
            "The shared sessions cannot be reached; nothing that was acknowledged is given up.",
        ),
        Refusal::Elsewhere(peer) => wrong_server(peer),
        Refusal::NoAnswer(peer) => Problem::new(
            Code::BUSY,
            format!(
                "The server {} keeps this upload and does not answer; ask again.",
                peer.name
            ),
        ),
        Refusal::Paused { .. } => problem(
            Code::PAUSED,
            "Uploads wait, as when the server's network changes; send this again in a moment.",
        ),
        Refusal::Draining => problem(Code::DRAINING, "Try again in a moment."),
        _ => problem(Code::INTERNAL, "The cause is in the server's log."),
    }
}

/// When it is worth to try again, where it is.
fn seconds_until_retry(refusal: &Refusal) -> Option<u64> {
    match refusal {
        Refusal::Finishing | Refusal::Superseded => Some(1),
        Refusal::Busy | Refusal::NoAnswer(_) => Some(2),
        Refusal::Paused { settle: wait } | Refusal::RateLimited { wait } => {
            Some(wait.as_secs_f64().ceil().max(1.0) as u64)
        }
        Refusal::Unreachable | Refusal::Crowded => Some(jittered()),
        Refusal::Draining | Refusal::TooManyStreams { .. } => Some(5),
        Refusal::Unavailable => Some(30),
        Refusal::TooManySessions | Refusal::NoSpace => Some(60),
        _ => None,
    }
}

/// Clients that were refused at the same moment do not come back at the same moment.
fn jittered() -> u64 {
    let mut byte = [0];
    // Without random bytes they do, which is no more than a nuisance.
    let _ = getrandom::fill(&mut byte);
    1 + u64::from(byte[0] % 3)
}

/// Names the server that keeps an upload.
fn wrong_server(peer: &Peer) -> Problem {
    let (name, url) = (&peer.name, peer.url.as_deref());
    let detail = match url {
        Some(url) => {
            format!("The server {name} at {url} keeps this upload; send the request there.")
        }
        None => format!("The server {name} keeps this upload; send the request there."),
    };
    let problem = Problem::new(Code::WRONG_SERVER, detail);
    match url.and_then(|url| HeaderValue::try_from(url).ok()) {
        Some(url) => problem.with_header(UPLOAD_SERVER, url),
        None => problem,
    }
}

/// Marks an answer as ours: not to be stored by caches, not to be guessed at by browsers.
pub(super) fn mark(reply: &mut Response<Bytes>) {
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}
