use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::auth::Purpose;
use crate::authorise::{Head, authorise, bind, purpose};
use crate::body::{Content, RequestBody, ResponseBody};
use crate::checked::CheckedBody;
use crate::engine::{Append, Create, Deliver, Refusal};
use crate::feed::{Feed, FeedBody};
use crate::handler::Handler;
use crate::layer::{Rules, Shared};
use crate::protocol::chunked::{self, Command, NewUpload, Route};
use crate::protocol::{
    BodySource, Code, Headers, Problem, ReadLimit, Reply, discard_limit, expects_continue,
};
use crate::upload::{Digest, SessionId, Target};

/// Longest time a refused request's body is read and dropped before the answer.
const DISCARD_FOR: Duration = Duration::from_secs(10);

/// The same in bytes, for a client that may not come in.
const DISCARD_AT_DOOR: u64 = 64 << 10;

/// What of a request is ours.
pub(crate) enum Ours {
    Chunked(Route),
    /// A request to a path of the app that must be signed.
    Protected,
    /// One of either that is not let in.
    Refused(Box<Problem>),
}

/// An answer of ours.
type Answer = Response<Content>;
type BoxAnswer = Pin<Box<dyn Future<Output = Answer> + Send>>;
/// Whether the app is asked, or what is answered in its place.
type BoxVerdict<F> = Pin<Box<dyn Future<Output = Result<F, Answer>> + Send>>;

pin_project! {
    /// The answer to a request: the wrapped app's, or ours.
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F> {
        App { #[pin] future: F },
        Ours { future: BoxAnswer },
        Protected { future: BoxVerdict<F> },
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn pass<S, B>(inner: &mut S, request: Request<B>) -> Self
    where
        S: Service<Request<RequestBody<B>>, Future = F>,
    {
        Self {
            kind: Kind::App {
                future: inner.call(request.map(RequestBody::client)),
            },
        }
    }

    pub(crate) fn refused<B>(
        (shared, rules): (Arc<Shared>, Arc<Rules>),
        problem: Problem,
        request: Request<B>,
    ) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let future = async move {
            let (parts, body) = request.into_parts();
            let discard = match problem.code().status {
                // Who is to come back has to read when.
                StatusCode::TOO_MANY_REQUESTS => discard_limit(rules.config.uploads.chunk_size),
                _ => DISCARD_AT_DOOR,
            };
            turn_away(&shared, &parts, body, problem, discard).await
        };
        Self {
            kind: Kind::Ours {
                future: Box::pin(future),
            },
        }
    }

    /// `inner` is ready.
    pub(crate) fn protected<S, B>(
        shared: Arc<Shared>,
        rules: Arc<Rules>,
        request: Request<B>,
        inner: S,
    ) -> Self
    where
        S: Service<Request<RequestBody<B>>, Future = F> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
    {
        Self {
            kind: Kind::Protected {
                future: Box::pin(guard(shared, rules, request, inner)),
            },
        }
    }

    pub(crate) fn ours<S, B, R>(
        shared: Arc<Shared>,
        (route, rules): (Route, Arc<Rules>),
        request: Request<B>,
        inner: S,
    ) -> Self
    where
        Handler<S, B>: Deliver,
        S: Service<Request<RequestBody<B>>, Response = Response<R>, Future = F>
            + Send
            + Sync
            + 'static,
        B: Body<Data = Bytes> + Send + 'static,
    {
        let deliver = Handler::new(Arc::clone(&shared), inner).shared();
        Self {
            kind: Kind::Ours {
                future: Box::pin(answer((shared, rules), route, request, deliver)),
            },
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let verdict = match this.kind.as_mut().project() {
                KindProj::App { future } => {
                    let response = ready!(future.poll(cx));
                    return Poll::Ready(response.map(|response| response.map(ResponseBody::app)));
                }
                KindProj::Ours { future } => {
                    let answer = ready!(future.as_mut().poll(cx));
                    return Poll::Ready(Ok(answer.map(ResponseBody::ours)));
                }
                KindProj::Protected { future } => ready!(future.as_mut().poll(cx)),
            };
            match verdict {
                Ok(future) => this.kind.set(Kind::App { future }),
                Err(answer) => return Poll::Ready(Ok(answer.map(ResponseBody::ours))),
            }
        }
    }
}

impl<F> std::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// Lets a request of the app's through that is signed.
async fn guard<S, B>(
    shared: Arc<Shared>,
    rules: Arc<Rules>,
    request: Request<B>,
    mut inner: S,
) -> Result<S::Future, Answer>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    let has_body = !request.body().is_end_stream();
    let (parts, body) = request.into_parts();
    match admit(&shared, &rules, &parts, has_body).await {
        Ok(digests) => {
            let body = match digests.is_empty() {
                true => RequestBody::client(body),
                false => RequestBody::checked(CheckedBody::new(body, digests)),
            };
            Ok(inner.call(Request::from_parts(parts, body)))
        }
        Err(problem) => {
            // What makes others wait for the app is not held while a body is dropped.
            drop(inner);
            let discard = discard_limit(rules.config.uploads.chunk_size);
            Err(turn_away(&shared, &parts, body, problem, discard).await)
        }
    }
}

/// Answers a request of which nothing was used; `discard` bytes of its body are read at most.
async fn turn_away<B>(
    shared: &Shared,
    parts: &Parts,
    body: B,
    problem: Problem,
    discard: u64,
) -> Answer
where
    B: Body<Data = Bytes> + Send,
{
    let body = pin!(body);
    let mut source = BodySource::new(body, parts.extensions.get().cloned());
    refused(shared, parts, &mut source, problem.into_reply(), discard).await
}

/// What the body of a request of the app's has to be, where its signature says so.
async fn admit(
    shared: &Shared,
    rules: &Rules,
    parts: &Parts,
    has_body: bool,
) -> Result<Vec<Digest>, Problem> {
    let purpose = Purpose::App { has_body };
    let pass = authorise(shared, &rules.gate, purpose, Head::of(parts)).await?;
    match pass.nonce.is_some() {
        true => Headers(&parts.headers).digests("content-digest"),
        false => Ok(Vec::new()),
    }
}

/// Answers a request of ours. One that is refused before its client has sent everything has some
/// of its body read and dropped first: many clients write first and read afterwards.
async fn answer<B>(
    (shared, rules): (Arc<Shared>, Arc<Rules>),
    route: Route,
    request: Request<B>,
    deliver: Arc<dyn Deliver>,
) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let body = pin!(body);
    let mut source = BodySource::new(body, parts.extensions.get().cloned());
    match chunked(&shared, &rules, route, &parts, &mut source, deliver).await {
        Ok(answer) => answer,
        Err(refusal) => {
            let discard = discard_limit(rules.config.uploads.chunk_size);
            refused(&shared, &parts, &mut source, refusal, discard).await
        }
    }
}

async fn refused<B>(
    shared: &Shared,
    parts: &Parts,
    source: &mut BodySource<'_, B>,
    mut refusal: Reply,
    discard: u64,
) -> Answer
where
    B: Body<Data = Bytes> + Send,
{
    if let Some(code) = refusal.extensions_mut().remove::<Code>() {
        shared.engine.events().counts().refused(code.name);
    }
    // A client that waits for `100 Continue` and has not got it sends no body; one that was too
    // slow was waited for long enough.
    let is_slow = refusal.status() == StatusCode::REQUEST_TIMEOUT;
    if !is_slow && (source.is_used() || !expects_continue(&parts.headers)) {
        let _ = tokio::time::timeout(DISCARD_FOR, source.discard(discard)).await;
    }
    whole(refusal)
}

fn whole(reply: Reply) -> Answer {
    reply.map(Content::from)
}

/// Carries out a request of the chunked dialect; `Err` is an answer to a body that was not read
/// to its end.
async fn chunked<B>(
    shared: &Shared,
    rules: &Rules,
    route: Route,
    parts: &Parts,
    source: &mut BodySource<'_, B>,
    deliver: Arc<dyn Deliver>,
) -> Result<Answer, Reply>
where
    B: Body<Data = Bytes> + Send,
{
    if parts.method == Method::OPTIONS {
        return Ok(whole(chunked::options(route)));
    }
    if !route.allows(&parts.method) {
        return Err(chunked::method_not_allowed(route).into_reply());
    }
    let purpose = purpose(route, parts);
    let pass = authorise(shared, &rules.gate, purpose, Head::of(parts)).await;
    let signer = pass.map_err(Problem::into_reply)?.signer;
    let command = chunked::parse(&rules.config, route, parts).map_err(Problem::into_reply)?;
    if let Some(id) = command.upload() {
        bind(shared, parts, id, signer).await?;
        let counted = shared.engine.count(id).await;
        counted.map_err(|refusal| refuse(id, refusal))?;
    }
    // A chunk may take as long as the engine says, and what has no body as long as a silence.
    parts.extensions.get().map(ReadLimit::lift);
    let reply = match command {
        Command::Create(upload) => {
            check_no_body(rules, source).await?;
            create(shared, rules, parts, upload, signer, deliver).await
        }
        Command::Append(append) => append_chunk(shared, rules, &append, source, deliver).await,
        Command::Status(id) => status(shared, rules, &id).await,
        Command::Events(id) => return events(shared, rules, parts, id).await,
        Command::Cancel(id) => {
            let cancelled = shared.engine.cancel(&id).await;
            cancelled
                .map(|()| chunked::cancelled())
                .map_err(|refusal| refuse(&id, refusal))
        }
    };
    reply.map(whole)
}

/// Refuses a body of a request that has none.
async fn check_no_body<B>(rules: &Rules, source: &mut BodySource<'_, B>) -> Result<(), Reply>
where
    B: Body<Data = Bytes> + Send,
{
    if source.is_empty() {
        return Ok(());
    }
    let within = rules.config.uploads.stall_timeout;
    match tokio::time::timeout(within, source.has_bytes()).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(chunked::unexpected_body().into_reply()),
        Err(_) => Err(Problem::from(Refusal::TooSlow).into_reply()),
    }
}

async fn create(
    shared: &Shared,
    rules: &Rules,
    parts: &Parts,
    upload: NewUpload,
    signer: Option<&str>,
    deliver: Arc<dyn Deliver>,
) -> Result<Reply, Reply> {
    let declaration = upload.declaration;
    let owner = shared.hooks.on_create(parts, &declaration, signer)?;
    let random = match &upload.idempotency_key {
        Some(key) => rules.gate.ring().idempotent_id(&owner, key),
        None => random_id().map_err(|refusal| Problem::from(refusal).into_reply())?,
    };
    let id = SessionId::new(random, rules.config.server.name.as_deref());
    let idempotent = upload.idempotency_key.is_some();
    let create = Create {
        id,
        idempotent,
        declaration,
        owner,
        signer: signer.map(str::to_owned),
        config: Arc::clone(&rules.config),
    };
    let created = shared.engine.create(create, deliver).await;
    let created = created.map_err(|refusal| Problem::from(refusal).into_reply())?;
    let base = &rules.config.server.public_base;
    let durability = rules.config.durability().name();
    Ok(chunked::created(
        &created,
        base,
        durability,
        rules.config.delivery.on_unknown,
    ))
}

async fn append_chunk<B>(
    shared: &Shared,
    rules: &Rules,
    append: &Append,
    source: &mut BodySource<'_, B>,
    deliver: Arc<dyn Deliver>,
) -> Result<Reply, Reply>
where
    B: Body<Data = Bytes> + Send,
{
    let Target::Chunk { number, .. } = append.target;
    let appended = shared.engine.append(append, source, deliver).await;
    let appended = appended.map_err(|refusal| refuse(&append.id, refusal))?;
    Ok(chunked::appended(
        &appended,
        number,
        rules.config.delivery.on_unknown,
    ))
}

async fn status(shared: &Shared, rules: &Rules, id: &SessionId) -> Result<Reply, Reply> {
    let status = shared.engine.status(id).await;
    let (view, gaps) = status.map_err(|refusal| refuse(id, refusal))?;
    Ok(chunked::status(
        id,
        &view,
        &gaps,
        rules.config.delivery.on_unknown,
    ))
}

/// Begins a stream of an upload's events.
async fn events(
    shared: &Shared,
    rules: &Rules,
    parts: &Parts,
    id: SessionId,
) -> Result<Answer, Reply> {
    let watched = shared.engine.watch(&id).await;
    let (watch, view, gaps) = watched.map_err(|refusal| refuse(&id, refusal))?;
    if let Some(reply) = chunked::seen_all(parts, &view) {
        return Ok(whole(reply));
    }
    #[cfg_attr(not(feature = "serve"), expect(unused_mut))]
    let mut head = chunked::head();
    // It lasts for as long as there is something to tell.
    #[cfg(feature = "serve")]
    head.extensions_mut().insert(crate::serve::NoWriteTimeout);
    if parts.method == Method::HEAD {
        return Ok(whole(head));
    }
    let on_unknown = rules.config.delivery.on_unknown;
    let engine = Arc::clone(&shared.engine);
    let feed = Feed::new(engine, id, on_unknown, (watch, &view, &gaps));
    Ok(head.map(|_| Content::Events(FeedBody::new(feed))))
}

fn refuse(id: &SessionId, refusal: Refusal) -> Reply {
    Problem::from(refusal).about(id.key()).into_reply()
}

fn random_id() -> Result<[u8; 32], Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system has no random bytes");
        Refusal::Internal
    })?;
    Ok(bytes)
}
