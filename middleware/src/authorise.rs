//! Whether a request may do what it wants, before anything of it is used.

use http::header::{HOST, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::auth::message::{self, Message, Nonce, Window};
use crate::auth::{self, Denied, Gate, Pass, Purpose};
use crate::config::Scheme;
use crate::door::is_secure;
use crate::engine::Refusal;
use crate::layer::Shared;
use crate::protocol::chunked::{self, Route};
use crate::protocol::{Code, Headers, Problem, Reply};
use crate::store::Once;
use crate::upload::{SessionId, Timestamp};

/// What a server asks to be signed (RFC 9421 section 5.1).
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");

/// The head of a request.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    is_secure: bool,
}

impl<'a> Head<'a> {
    pub(crate) fn of(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            is_secure: is_secure(&parts.extensions),
        }
    }

    fn message(self) -> Message<'a> {
        Message {
            method: self.method,
            uri: self.uri,
            headers: self.headers,
            public_base: "",
            is_secure: self.is_secure,
        }
    }
}

/// What has to be signed of a request of the chunked dialect.
pub(crate) fn purpose(route: Route, parts: &Parts) -> Purpose {
    match route {
        _ if chunked::is_create(route, parts) => Purpose::Create,
        Route::Uploads if parts.method != Method::DELETE => Purpose::Chunk,
        _ => Purpose::Upload,
    }
}

/// Checks the signature of a request, and that it was not used before.
pub(crate) async fn authorise<'g>(
    shared: &Shared,
    gate: &'g Gate,
    purpose: Purpose,
    head: Head<'_>,
) -> Result<Pass<'g>, Problem> {
    let x_signature = Headers(head.headers).one(auth::path::HEADER)?;
    let x_signature = x_signature.map(HeaderValue::as_bytes);
    let now = shared.clock.now();
    let explain = |denied| problem(&denied, gate, purpose, head);
    let pass = gate.check(purpose, &head.message(), x_signature, now);
    let pass = pass.map_err(explain)?;
    if let Some(nonce) = pass.nonce {
        let spent = spend(shared, nonce, gate.window(now)).await;
        spent.map_err(explain)?;
    }
    Ok(pass)
}

/// Refuses a request for somebody else's upload as one for none: that of another key, or of
/// another owner where the app tells them apart.
pub(crate) async fn bind(
    shared: &Shared,
    parts: &Parts,
    id: &SessionId,
    signer: Option<&str>,
) -> Result<(), Reply> {
    let owner = shared.hooks.on_access(parts).transpose()?;
    if owner.is_none() && signer.is_none() {
        return Ok(());
    }
    let refuse = |refusal| Problem::from(refusal).about(id.key()).into_reply();
    let (view, _) = shared.engine.status(id).await.map_err(refuse)?;
    let is_theirs = owner.is_none_or(|owner| view.header.owner == owner)
        && signer.is_none_or(|signer| view.header.is_signed_by(signer));
    match is_theirs {
        true => Ok(()),
        false => Err(refuse(Refusal::NoSession)),
    }
}

/// Signs a request of ours, for handlers that verify on their own.
pub(crate) fn sign(gate: &Gate, parts: &mut Parts, now: Timestamp) {
    const COVERED: [&str; 6] = [
        "@method",
        "@authority",
        "@path",
        "content-type",
        "content-length",
        "idempotency-key",
    ];
    let Some(key) = gate.signing() else {
        return;
    };
    let mut signatures = Vec::new();
    if gate.accepts(Scheme::Path) {
        let signature = auth::path::sign(key.secret.expose(), parts.uri.path());
        signatures
            .extend(HeaderValue::try_from(signature).map(|value| (auth::path::HEADER, value)));
    }
    if gate.accepts(Scheme::Message) {
        let has_host = parts.headers.contains_key(HOST);
        let covered = COVERED
            .into_iter()
            .filter(|name| has_host || *name != "@authority");
        let covered: Vec<_> = covered.collect();
        let message = Head::of(parts).message();
        if let Some(signed) = message::sign(key, &message, &covered, now.0 / 1_000) {
            signatures.push((message::INPUT, signed.input));
            signatures.push((message::SIGNATURE, signed.signature));
        }
    }
    for (name, value) in signatures {
        parts.headers.insert(HeaderName::from_static(name), value);
    }
}

/// Uses a signature up, where servers share their sessions on all of them.
async fn spend(shared: &Shared, nonce: Nonce, window: Window) -> Result<(), Denied> {
    let once = Once {
        print: nonce.print,
        made: nonce.created,
        patience: window.max_skew,
    };
    let spending = shared.engine.spend(once);
    let is_alone = spending.is_none();
    shared.replay.spend(nonce, window, is_alone).await?;
    let Some(spending) = spending else {
        return Ok(());
    };
    let spent = spending.await.map_err(|_| Denied::Unknowable)?;
    message::not_before(nonce, spent.since, window)?;
    match spent.is_new {
        true => Ok(()),
        false => Err(Denied::Replayed),
    }
}

/// What a client is told: what is wrong with its request, never what would have been right.
fn problem(denied: &Denied, gate: &Gate, purpose: Purpose, head: Head<'_>) -> Problem {
    let (code, detail) = explanation(denied, gate);
    let problem = Problem::new(code, detail);
    let problem = match denied {
        Denied::Stale { now } => problem.at(*now),
        Denied::Early { now, seconds } => problem.at(*now).retry_after(*seconds),
        Denied::Unknowable => problem.retry_after(1),
        _ => problem,
    };
    match code.status {
        StatusCode::UNAUTHORIZED => challenge(problem, gate, purpose, head),
        _ => problem,
    }
}

fn explanation(denied: &Denied, gate: &Gate) -> (Code, String) {
    let quoted = |names: &[&str]| names.join(", ");
    let (code, detail) = match denied {
        Denied::Missing => (Code::SIGNATURE_MISSING, missing(gate).to_owned()),
        Denied::Invalid => (
            Code::SIGNATURE_INVALID,
            "The signature was made with another key, or for another request.".to_owned(),
        ),
        Denied::Malformed(what) => (
            Code::SIGNATURE_INVALID,
            format!("The signature cannot be read (RFC 9421): {what}."),
        ),
        Denied::Unsupported(component) => (
            Code::SIGNATURE_INVALID,
            format!(
                "The signature covers {component}, which is not checked here. It may cover @method, \
                 @authority, @path, @query, @request-target and headers, without parameters."
            ),
        ),
        Denied::Absent(component) => (
            Code::SIGNATURE_INVALID,
            format!("The signature covers {component}, which this request does not have."),
        ),
        Denied::Incomplete(names) => (
            Code::SIGNATURE_INCOMPLETE,
            format!("The signature must cover as well: {}.", quoted(names)),
        ),
        Denied::Stale { .. } => (
            Code::SIGNATURE_EXPIRED,
            "The signature was made too long ago or too far in the future, or has expired; sign again, \
             by the time of the server."
                .to_owned(),
        ),
        Denied::Replayed => (
            Code::SIGNATURE_REPLAYED,
            "The signature was used before; sign again, with another nonce.".to_owned(),
        ),
        Denied::Early { .. } => (
            Code::BUSY,
            "The server has just begun and does not know whether the signature was used before; sign again."
                .to_owned(),
        ),
        Denied::Unknowable => (
            Code::STORE_UNAVAILABLE,
            "Nobody can tell now whether the signature was used before; sign again in a moment."
                .to_owned(),
        ),
    };
    (code, detail)
}

fn missing(gate: &Gate) -> &'static str {
    match (gate.accepts(Scheme::Message), gate.accepts(Scheme::Path)) {
        (true, true) => {
            "Signature-Input and Signature (RFC 9421, hmac-sha256) are required, or x-signature, the hex \
             form of HMAC-SHA256(secret, path), without the query."
        }
        (true, false) => "Signature-Input and Signature (RFC 9421, hmac-sha256) are required.",
        (false, _) => {
            "x-signature must be the hex form of HMAC-SHA256(secret, path), without the query."
        }
    }
}

/// Adds what a 401 says of how to sign.
fn challenge(problem: Problem, gate: &Gate, purpose: Purpose, head: Head<'_>) -> Problem {
    const PATH: HeaderValue = HeaderValue::from_static("X-Signature algorithm=\"hmac-sha256\"");
    const MESSAGE: HeaderValue = HeaderValue::from_static("Signature algorithm=\"hmac-sha256\"");
    let mut problem = problem;
    if gate.accepts(Scheme::Message) {
        problem = problem.with_header(WWW_AUTHENTICATE, MESSAGE);
        let names = purpose.required(head.headers, head.uri.query().is_some());
        let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let wanted = format!(
            "steadfast=({});created;keyid;alg=\"{}\"",
            names.join(" "),
            message::ALGORITHM
        );
        if let Ok(wanted) = HeaderValue::try_from(wanted) {
            problem = problem.with_header(ACCEPT_SIGNATURE, wanted);
        }
    }
    match gate.accepts(Scheme::Path) {
        true => problem.with_header(WWW_AUTHENTICATE, PATH),
        false => problem,
    }
}
