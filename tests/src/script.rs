//! A handler whose behaviour the test writes, and which remembers what it saw.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tower::Service;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request as the handler saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// How many calls came before.
    pub index: usize,
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// The bytes of the body, up to an error.
    pub body: Vec<u8>,
    /// True when the body ended with an error.
    pub broken: bool,
}

impl Call {
    /// The one value of a header.
    ///
    /// # Panics
    /// When it comes twice or is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(
            values.next().is_none(),
            "{name} comes twice: {:?}",
            self.headers
        );
        Some(first.to_str().expect("text"))
    }
}

/// What the handler answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A status with a text.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", "text/plain".to_owned())],
            body: body.into(),
        }
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(self.body)).expect("a response")
    }
}

/// What the handler does.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers.
    Answer(Answer),
    /// Answers once the gate is open.
    After(Gate, Answer),
    /// Never answers.
    Hang,
    /// Panics.
    Panic,
    /// Ends with `Err`.
    Fail,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// Holds handlers back until it is opened, and then never again.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    /// Lets everyone through.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        let mut seen = self.0.subscribe();
        let _ = seen.wait_for(|open| *open).await;
    }
}

type Behaviour = dyn Fn(&Call) -> Reply + Send + Sync;

/// The handler as a tower service. It panics when it is called without having been asked
/// whether it is ready.
pub struct Script {
    behaviour: Arc<Behaviour>,
    calls: Arc<Mutex<Vec<Call>>>,
    ready: bool,
}

impl Script {
    /// A handler that reads the whole body, remembers the call and then does what
    /// `behaviour` says.
    #[must_use]
    pub fn new(behaviour: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            behaviour: Arc::new(behaviour),
            calls: Arc::default(),
            ready: false,
        }
    }

    /// A handler that always answers the same.
    #[must_use]
    pub fn always(reply: impl Into<Reply>) -> Self {
        let reply = reply.into();
        Self::new(move |_| reply.clone())
    }

    /// A handler that stores everything: 201 and `stored #<n>`.
    #[must_use]
    pub fn storing() -> Self {
        Self::new(|call| Answer::text(201, &format!("stored #{}", call.index)).into())
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// The only call.
    ///
    /// # Panics
    /// When there was none, or more than one.
    #[must_use]
    pub fn only_call(&self) -> Call {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "the handler is called once");
        calls.remove(0)
    }

    async fn serve<B>(self, request: Request<B>) -> Result<Response<Body>, BoxError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let (body, broken) = read(body).await;
        let call = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let (method, uri, headers) = (parts.method, parts.uri, parts.headers);
            let call = Call {
                index: calls.len(),
                method,
                uri,
                headers,
                body,
                broken,
            };
            calls.push(call.clone());
            call
        };
        match (self.behaviour)(&call) {
            Reply::Answer(answer) => Ok(answer.into_response()),
            Reply::After(gate, answer) => {
                gate.passed().await;
                Ok(answer.into_response())
            }
            Reply::Hang => std::future::pending().await,
            Reply::Panic => panic!("the handler panics on purpose"),
            Reply::Fail => Err("the handler fails on purpose".into()),
        }
    }
}

/// The bytes of a body, and whether it ended with an error.
async fn read<B>(body: B) -> (Vec<u8>, bool)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let mut body = std::pin::pin!(body);
    let mut out = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => out.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(_) => return (out, true),
        }
    }
    (out, false)
}

impl Clone for Script {
    /// A clone shares the memory and has to be asked anew whether it is ready.
    fn clone(&self) -> Self {
        Self {
            behaviour: Arc::clone(&self.behaviour),
            calls: Arc::clone(&self.calls),
            ready: false,
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("calls", &self.count())
            .finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Script
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without poll_ready");
        Box::pin(self.clone().serve(request))
    }
}
