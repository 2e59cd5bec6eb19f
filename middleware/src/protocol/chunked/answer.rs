use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use serde_json::{Map, Value, json};

use crate::config::OnUnknown;
use crate::engine::{Appended, Created, Gaps, Refusal, View};
use crate::protocol::{Code, Problem, Reply, problem, reply};
use crate::upload::{Answer, Failure, SessionId, State, to_latin1, total_chunks};

const STATE: HeaderName = HeaderName::from_static("x-upload-state");
/// Wait that a client is asked for while an upload is handed over, in seconds.
const FINISHING_RETRY_AFTER: u64 = 2;

/// The answer to a create request. `base` is the prefix of `Location`.
#[must_use]
pub fn created(created: &Created, base: &str, durability: &str, on_unknown: OnUnknown) -> Reply {
    let view = &created.view;
    let is_empty = view.header.declaration.total == 0;
    let mut reply = match is_empty.then(|| outcome(view, on_unknown)).flatten() {
        Some(reply) => reply,
        None => {
            let mut members = creation(created, durability);
            if is_empty {
                members.extend(completion(view));
            }
            reply::json(StatusCode::CREATED, &Value::Object(members))
        }
    };
    let location = format!("{base}/upload/status?session_id={}", created.id.expose());
    if let Ok(location) = HeaderValue::try_from(location) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

fn creation(created: &Created, durability: &str) -> Map<String, Value> {
    let view = &created.view;
    object(json!({
        "session_id": created.id.expose(),
        "chunk_size": view.chunk_size,
        "total_chunks": total_chunks(view.header.declaration.total, view.chunk_size),
        "expires_at": reply::rfc3339(view.expires),
        "durability": durability,
    }))
}

/// The answer to chunk `number`.
#[must_use]
pub fn appended(appended: &Appended, number: u64, on_unknown: OnUnknown) -> Reply {
    let view = &appended.view;
    if let Some(reply) = outcome(view, on_unknown) {
        return reply;
    }
    let mut members = object(json!({
        "success": true,
        "chunk": number,
        "uploaded_bytes": view.uploaded,
        "total_size": view.header.declaration.total,
        "progress": progress(view.uploaded, view.header.declaration.total),
        "completed": false,
        "chunk_size": view.chunk_size,
        "duplicate": appended.duplicate,
    }));
    if view.finishing {
        members.insert("state".to_owned(), State::Finishing.name().into());
        let mut reply = reply::json(StatusCode::ACCEPTED, &Value::Object(members));
        reply
            .headers_mut()
            .insert(RETRY_AFTER, FINISHING_RETRY_AFTER.into());
        return reply;
    }
    members.extend(completion(view));
    reply::json(StatusCode::OK, &Value::Object(members))
}

/// The answer to a status request.
#[must_use]
pub fn status(id: &SessionId, view: &View, gaps: &Gaps, on_unknown: OnUnknown) -> Reply {
    reply::json(StatusCode::OK, &standing(id, view, gaps, on_unknown))
}

/// How an upload stands.
pub(super) fn standing(id: &SessionId, view: &View, gaps: &Gaps, on_unknown: OnUnknown) -> Value {
    let declaration = &view.header.declaration;
    let mut members = object(json!({
        "session_id": id.expose(),
        "filename": declaration.name.as_str(),
        "total_size": declaration.total,
        "uploaded_bytes": view.uploaded,
        "progress": progress(view.uploaded, view.header.declaration.total),
        "completed": false,
        "chunks": gaps.chunks_held,
        "chunk_size": view.chunk_size,
        "total_chunks": total_chunks(declaration.total, view.chunk_size),
        "missing": gaps.ranges,
        "state": state(view, on_unknown).name(),
        "paused": view.paused,
        "last_activity": reply::rfc3339(view.last_activity),
        "expires_at": reply::rfc3339(view.expires),
    }));
    if gaps.truncated {
        members.insert("missing_truncated".to_owned(), true.into());
    }
    members.extend(completion(view));
    if let Some(answer) = view
        .answer
        .as_deref()
        .filter(|_| view.state == State::Rejected)
    {
        members.insert("handler".to_owned(), handler(answer));
    }
    Value::Object(members)
}

/// The answer to a cancel request.
#[must_use]
pub fn cancelled() -> Reply {
    reply::empty(StatusCode::NO_CONTENT)
}

/// The state a client is told: under `on_unknown = "retry"` nobody waits for a decision.
fn state(view: &View, on_unknown: OnUnknown) -> State {
    match view.state {
        _ if view.finishing => State::Finishing,
        state => told(state, on_unknown),
    }
}

pub(super) fn told(state: State, on_unknown: OnUnknown) -> State {
    match state {
        State::Unknown if on_unknown == OnUnknown::Retry => State::Undelivered,
        state => state,
    }
}

/// The members that say that an upload is completed and how; none before.
fn completion(view: &View) -> Map<String, Value> {
    if view.state != State::Completed {
        return Map::new();
    }
    let declaration = &view.header.declaration;
    let name = view.stored_name.as_ref().unwrap_or(&declaration.name);
    let mut members = object(json!({
        "completed": true,
        "filename": name.as_str(),
        "size": declaration.total,
        "duration": format!("{:.1}s", view.duration.as_secs_f64()),
    }));
    if let Some(sha256) = &view.sha256 {
        members.insert("sha256".to_owned(), sha256.as_str().into());
    }
    if let Some(crc) = view.crc32c {
        members.insert("crc32c".to_owned(), format!("{crc:08x}").into());
    }
    if let Some(answer) = &view.answer {
        members.insert("handler".to_owned(), handler(answer));
    }
    members
}

fn handler(answer: &Answer) -> Value {
    let header = |name: &str| {
        answer
            .headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let mut members = object(json!({
        "status": answer.status,
        "content_type": header("content-type"),
    }));
    if let Some(location) = header("location") {
        members.insert("location".to_owned(), location.into());
    }
    match text(answer) {
        Some(text) => members.insert("body".to_owned(), text.into()),
        None => members.insert(
            "body_base64".to_owned(),
            STANDARD.encode(&answer.body).into(),
        ),
    };
    if answer.truncated {
        members.insert("body_truncated".to_owned(), true.into());
    }
    Value::Object(members)
}

/// The body as text; a character that was cut at the end of the kept part is left out.
fn text(answer: &Answer) -> Option<&str> {
    match std::str::from_utf8(&answer.body) {
        Ok(text) => Some(text),
        Err(error) if answer.truncated && error.error_len().is_none() => {
            std::str::from_utf8(&answer.body[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

/// The answer to a client that has sent everything, where it is not the dialect's own.
fn outcome(view: &View, on_unknown: OnUnknown) -> Option<Reply> {
    match view.state {
        State::Rejected => Some(match &view.answer {
            Some(answer) => marked(repeat(answer), State::Rejected),
            None => {
                let detail = "The whole file does not match Repr-Digest; cancel and start again.";
                let problem = Problem::new(Code::DIGEST_MISMATCH, detail).about(view.key);
                marked(problem.into_reply(), State::Rejected)
            }
        }),
        State::Unknown if on_unknown == OnUnknown::Hold => {
            let detail = "The server stopped in the middle; it will not ask the handler twice.";
            let problem = Problem::new(Code::HANDOFF_UNKNOWN, detail).about(view.key);
            Some(marked(problem.into_reply(), State::Unknown))
        }
        State::Undelivered | State::Unknown => Some(undelivered(view)),
        State::Cancelled => Some(
            Problem::from(Refusal::Cancelled)
                .about(view.key)
                .into_reply(),
        ),
        State::Receiving | State::Finishing | State::Completed => None,
    }
}

fn undelivered(view: &View) -> Reply {
    let seconds = view.retry_after.as_secs().max(1);
    let detail = "All bytes are safe; the server goes on trying to hand the file over.";
    let problem = |code| {
        Problem::new(code, detail)
            .about(view.key)
            .retry_after(seconds)
            .into_reply()
    };
    let mut reply = match view.failure.as_deref() {
        Some(Failure::Answered(answer)) => repeat(answer),
        Some(Failure::TimedOut) => problem(Code::UNDELIVERED_TIMEOUT),
        Some(Failure::NotStored | Failure::Unreadable) => problem(Code::UNDELIVERED_UNAVAILABLE),
        _ => problem(Code::UNDELIVERED_BAD_GATEWAY),
    };
    reply
        .headers_mut()
        .entry(RETRY_AFTER)
        .or_insert_with(|| seconds.into());
    marked(reply, State::Undelivered)
}

/// The handler's own answer, as far as it is kept.
fn repeat(answer: &Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut reply = Reply::new(answer.body.clone().into());
    *reply.status_mut() = status;
    for (name, value) in &answer.headers {
        let value = to_latin1(value).and_then(|value| HeaderValue::from_bytes(&value).ok());
        if let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) {
            reply.headers_mut().append(name, value);
        }
    }
    problem::mark(&mut reply);
    reply
}

fn marked(mut reply: Reply, state: State) -> Reply {
    reply
        .headers_mut()
        .insert(STATE, HeaderValue::from_static(state.name()));
    reply
}

/// The received part of the file, 0..1; an empty file is whole.
#[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
pub(super) fn progress(uploaded: u64, total: u64) -> f64 {
    match total {
        0 => 1.0,
        total => uploaded as f64 / total as f64,
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
