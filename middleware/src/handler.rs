use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use tower_service::Service;

use crate::authorise::sign;
use crate::body::{AppResponse, BoxError, RequestBody};
use crate::engine::{Deliver, Delivered, Delivery};
use crate::handoff::capture;
use crate::layer::Shared;

/// Hands uploads to the wrapped app: the one place that calls it besides
/// [`ResponseFuture::pass`](crate::future::ResponseFuture::pass).
pub(crate) struct Handler<S, B> {
    shared: Arc<Shared>,
    inner: S,
    body: PhantomData<fn(B)>,
}

impl<S, B> Handler<S, B> {
    pub(crate) fn new(shared: Arc<Shared>, inner: S) -> Self {
        Self {
            shared,
            inner,
            body: PhantomData,
        }
    }

    /// The same, as the engine takes it.
    pub(crate) fn shared(self) -> Arc<dyn Deliver>
    where
        Self: Deliver,
    {
        let deliver: Arc<dyn Deliver> = Arc::new(self);
        #[cfg(steadfast_sabotage)]
        let deliver = crate::saboteur::deliver(deliver);
        deliver
    }
}

impl<S, B, A, R> Deliver for Handler<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = A> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
    A: AppResponse<Body = R> + Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    fn deliver(
        &self,
        delivery: Delivery,
    ) -> Pin<Box<dyn Future<Output = Delivered> + Send + 'static>> {
        let (shared, inner) = (Arc::clone(&self.shared), self.inner.clone());
        Box::pin(async move {
            let key = delivery.key;
            hand_over(&shared, inner, delivery)
                .await
                .unwrap_or_else(|error| {
                    tracing::error!(%key, error = error.as_ref(), "the hand-off broke off");
                    Delivered::Broken
                })
        })
    }
}

async fn hand_over<S, B, A, R>(
    shared: &Shared,
    mut inner: S,
    delivery: Delivery,
) -> Result<Delivered, BoxError>
where
    S: Service<Request<RequestBody<B>>, Response = A>,
    S::Error: Into<BoxError>,
    A: AppResponse<Body = R>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let (key, header) = (delivery.key, Arc::clone(&delivery.header));
    let mut boundary = [0; 16];
    getrandom::fill(&mut boundary)?;
    let rules = shared.rules.now();
    let (request, digested) = rules.template.request(delivery, boundary);
    let (mut parts, body) = request.into_parts();
    shared.hooks.on_handoff(&mut parts, key, &header);
    sign(&rules.gate, &mut parts, shared.clock.now());
    #[cfg_attr(
        not(feature = "axum"),
        expect(unused_mut, reason = "only axum has a limit to lift")
    )]
    let mut request = Request::from_parts(parts, RequestBody::handoff(body));
    #[cfg(feature = "axum")]
    axum_core::extract::DefaultBodyLimit::disable().apply(&mut request);
    poll_fn(|cx| inner.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    let response = inner.call(request).await.map_err(Into::into)?;
    let answer = capture(response.into_http()).await.map_err(Into::into)?;
    Ok(Delivered::Answered {
        answer,
        sha256: digested.take(),
    })
}
