use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method};

use super::Route;
use super::filename::filename;
use crate::config::UploadConfig;
use crate::engine::{Append, Refusal};
use crate::protocol::{Code, Headers, Problem};
use crate::upload::{Declaration, SessionId, Target, from_latin1};

const SESSION: &str = "x-upload-session-id";

/// What a request asks for.
#[derive(Debug)]
pub enum Command {
    /// A new upload.
    Create(NewUpload),
    /// Bytes of an upload.
    Append(Append),
    /// How an upload stands.
    Status(SessionId),
    /// The same as it changes.
    Events(SessionId),
    /// To give an upload up.
    Cancel(SessionId),
}

impl Command {
    /// The upload that is there already.
    #[must_use]
    pub fn upload(&self) -> Option<&SessionId> {
        match self {
            Self::Create(_) => None,
            Self::Append(append) => Some(&append.id),
            Self::Status(id) | Self::Events(id) | Self::Cancel(id) => Some(id),
        }
    }
}

/// A create request.
#[derive(Debug)]
pub struct NewUpload {
    /// What the upload is to become.
    pub declaration: Declaration,
    /// What makes a repeated request the same request.
    pub idempotency_key: Option<Vec<u8>>,
}

/// Whether a request asks for a new upload: the one request of this dialect that is always signed.
#[must_use]
pub fn is_create(route: Route, parts: &Parts) -> bool {
    route == Route::Uploads
        && parts.method != Method::DELETE
        && !parts.headers.contains_key(SESSION)
}

/// Reads the head of a request whose route and method fit.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(config: &UploadConfig, route: Route, parts: &Parts) -> Result<Command, Problem> {
    let headers = Headers(&parts.headers);
    match route {
        Route::Status => Ok(Command::Status(status_id(headers, parts.uri.query())?)),
        Route::Events => Ok(Command::Events(status_id(headers, parts.uri.query())?)),
        Route::Uploads if parts.method == Method::DELETE => Ok(Command::Cancel(session_id(
            headers.required(SESSION)?.as_bytes(),
        )?)),
        Route::Uploads => match headers.one(SESSION)? {
            Some(id) => chunk(parts, id.as_bytes()).map(Command::Append),
            None => create(config, parts).map(Command::Create),
        },
    }
}

fn create(config: &UploadConfig, parts: &Parts) -> Result<NewUpload, Problem> {
    let headers = Headers(&parts.headers);
    let name = filename(headers)?;
    let total = headers.required_number("x-total-size")?;
    let chunk_size = headers.number("x-chunk-size")?;
    if let Some(chunk_size) = chunk_size {
        check_chunk_size(config, chunk_size)?;
    }
    let declaration = Declaration {
        name,
        total,
        chunk_size,
        content_type: content_type(headers)?,
        digests: headers.digests("repr-digest")?,
        host: host(parts)?,
        headers: forwarded(config, &parts.headers),
    };
    let idempotency_key = idempotency_key(headers)?;
    check_no_body(&parts.headers)?;
    Ok(NewUpload {
        declaration,
        idempotency_key,
    })
}

fn chunk(parts: &Parts, id: &[u8]) -> Result<Append, Problem> {
    let headers = Headers(&parts.headers);
    let id = session_id(id)?;
    let number = headers.required_number("x-chunk-number")?;
    let length = headers.number(CONTENT_LENGTH.as_str())?;
    let digests = headers.digests("content-digest")?;
    Ok(Append {
        id,
        target: Target::Chunk { number, length },
        digests,
        origin: parts.extensions.get().copied().unwrap_or_default(),
    })
}

fn status_id(headers: Headers<'_>, query: Option<&str>) -> Result<SessionId, Problem> {
    let query = query.unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    if let Some((_, id)) = pairs.find(|(name, _)| name == "session_id") {
        return session_id(id.as_bytes());
    }
    match headers.one(SESSION)? {
        Some(id) => session_id(id.as_bytes()),
        None => {
            let detail =
                "The query parameter session_id or the header x-upload-session-id is required.";
            Err(Problem::new(Code::MISSING_PARAMETER, detail))
        }
    }
}

/// Anything of another shape is answered as an unknown session, before any lookup.
fn session_id(bytes: &[u8]) -> Result<SessionId, Problem> {
    let id = std::str::from_utf8(bytes).ok().and_then(SessionId::parse);
    id.ok_or_else(|| Problem::from(Refusal::NoSession))
}

fn check_chunk_size(config: &UploadConfig, chunk_size: u64) -> Result<(), Problem> {
    let (min, max) = (config.uploads.min_chunk_size, config.uploads.max_chunk_size);
    if (min..=max).contains(&chunk_size) {
        return Ok(());
    }
    let detail = format!("x-chunk-size must be from {min} to {max} bytes.");
    Err(Problem::new(Code::BAD_CHUNK_SIZE, detail))
}

fn content_type(headers: Headers<'_>) -> Result<Option<String>, Problem> {
    let Some(value) = headers.one("x-content-type")? else {
        return Ok(None);
    };
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let text = value.to_str().ok().filter(|text| {
        let essence = text.split(';').next().unwrap_or_default().trim_end();
        essence
            .split_once('/')
            .is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
    });
    match text {
        Some(text) => Ok(Some(text.to_owned())),
        None => {
            let detail = "x-content-type must be a media type such as `application/zip`.";
            Err(Problem::new(Code::BAD_CONTENT_TYPE, detail))
        }
    }
}

fn idempotency_key(headers: Headers<'_>) -> Result<Option<Vec<u8>>, Problem> {
    let Some(value) = headers.one("idempotency-key")? else {
        return Ok(None);
    };
    if (16..=128).contains(&value.len()) {
        return Ok(Some(value.as_bytes().to_vec()));
    }
    let detail = "idempotency-key must have 16 to 128 bytes.";
    Err(Problem::new(Code::BAD_IDEMPOTENCY_KEY, detail))
}

/// The host a request was sent to: that of an absolute target (RFC 9112, section 3.2.2) and of
/// `:authority` in HTTP/2, without what stands before an `@`; else `Host`.
fn host(parts: &Parts) -> Result<Option<String>, Problem> {
    let header = Headers(&parts.headers).one(HOST.as_str())?;
    let header = header.and_then(|host| host.to_str().ok());
    let authority = parts.uri.authority().map(Authority::as_str);
    let authority = authority.map(|text| text.rsplit_once('@').map_or(text, |(_, host)| host));
    Ok(authority.or(header).map(str::to_owned))
}

fn forwarded(config: &UploadConfig, headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = config.delivery.forward_headers.iter();
    let values = |name| headers.get_all(name).iter().map(move |value| (name, value));
    kept.map(String::as_str)
        .flat_map(values)
        .map(|(name, value)| (name.to_ascii_lowercase(), from_latin1(value.as_bytes())))
        .collect()
}

fn check_no_body(headers: &HeaderMap) -> Result<(), Problem> {
    let empty = headers
        .get(CONTENT_LENGTH)
        .is_none_or(|length| length.as_bytes() == b"0");
    if empty && !headers.contains_key(TRANSFER_ENCODING) {
        Ok(())
    } else {
        Err(unexpected_body())
    }
}

/// The refusal of a create request with a body.
#[must_use]
pub fn unexpected_body() -> Problem {
    let detail = "Create carries headers only; the bytes follow as chunks.";
    Problem::new(Code::UNEXPECTED_BODY, detail)
}
