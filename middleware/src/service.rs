use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::body::{BoxError, RequestBody, ResponseBody};
use crate::future::{Ours, ResponseFuture};
use crate::layer::{Rules, Shared};
use crate::protocol::chunked;

/// An app whose upload handler is resumable; made by [`SteadfastLayer`](crate::SteadfastLayer).
///
/// A request that is not ours is passed through as it is, without a box of ours.
#[derive(Clone)]
pub struct Steadfast<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Steadfast<S> {
    pub(crate) fn new(shared: Arc<Shared>, inner: S) -> Self {
        Self { shared, inner }
    }

    /// What of a request is ours, if anything.
    fn recognise<B>(&self, request: &mut Request<B>) -> Option<(Ours, Arc<Rules>)> {
        let (path, rules) = (request.uri().path(), self.shared.rules.now());
        let route = chunked::route(&rules.config, path);
        if route.is_none() && !rules.gate.names(path) {
            return None;
        }
        if let Err(problem) = self.shared.enter(&rules.config, request) {
            return Some((Ours::Refused(Box::new(problem)), rules));
        }
        if let Some(route) = route {
            return Some((Ours::Chunked(route), rules));
        }
        rules
            .gate
            .protects(request.uri().path())
            .then_some((Ours::Protected, rules))
    }
}

impl<S, B, R> Service<Request<B>> for Steadfast<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S::Future> {
        match self.recognise(&mut request) {
            None => ResponseFuture::pass(&mut self.inner, request),
            Some((Ours::Refused(problem), rules)) => {
                ResponseFuture::refused((Arc::clone(&self.shared), rules), *problem, request)
            }
            Some((Ours::Protected, rules)) => {
                // The app that was ready is the one that is called.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::protected(Arc::clone(&self.shared), rules, request, inner)
            }
            // The clone takes its readiness when there is something to hand over.
            Some((Ours::Chunked(route), rules)) => {
                let shared = Arc::clone(&self.shared);
                ResponseFuture::ours(shared, (route, rules), request, self.inner.clone())
            }
        }
    }
}

impl<S> std::fmt::Debug for Steadfast<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steadfast").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;
    use std::future::Ready;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::StatusCode;
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt as _;
    use tower_layer::Layer;

    use super::*;
    use crate::{SteadfastLayer, UploadConfig};

    /// An app that is ready once per `poll_ready`, and never by being cloned.
    #[derive(Default)]
    struct Picky {
        ready: bool,
        calls: Arc<AtomicUsize>,
    }

    impl Clone for Picky {
        fn clone(&self) -> Self {
            Self {
                ready: false,
                calls: Arc::clone(&self.calls),
            }
        }
    }

    impl<B> Service<Request<B>> for Picky {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<B>) -> Self::Future {
            assert!(
                std::mem::take(&mut self.ready),
                "called without being ready"
            );
            self.calls.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(Response::new(Full::from("the app"))))
        }
    }

    struct Rig {
        service: Steadfast<Picky>,
        calls: Arc<AtomicUsize>,
        _dir: tempfile::TempDir,
    }

    impl Rig {
        async fn new(adapt: impl FnOnce(&mut UploadConfig)) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut config = UploadConfig::default();
            config.uploads.state_dir = dir.path().join("state");
            config.uploads.min_free_space = 0;
            config.security.enabled = false;
            adapt(&mut config);
            let (layer, _driver) = SteadfastLayer::from_config(config).await.unwrap();
            let app = Picky::default();
            let calls = Arc::clone(&app.calls);
            Self {
                service: layer.layer(app),
                calls,
                _dir: dir,
            }
        }

        async fn send(
            &self,
            request: http::request::Builder,
            body: &'static str,
        ) -> (StatusCode, String) {
            let request = request.body(Full::<Bytes>::from(body)).unwrap();
            let response = self.service.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::Relaxed)
        }
    }

    fn member<'a>(json: &'a str, name: &str) -> &'a str {
        let (_, rest) = json.split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split_once('"').unwrap().0
    }

    #[tokio::test]
    async fn other_requests_reach_the_app_that_was_ready() {
        let rig = Rig::new(|_| {}).await;
        let answer = rig.send(Request::get("/anything"), "").await;
        assert_eq!(answer, (StatusCode::OK, "the app".to_owned()));
        assert_eq!(rig.calls(), 1);
    }

    #[tokio::test]
    async fn the_hand_off_waits_for_readiness_and_calls_once() {
        let rig = Rig::new(|_| {}).await;
        let create = Request::post("/upload/chunked")
            .header("x-filename", "a")
            .header("x-total-size", "3");
        let (status, created) = rig.send(create, "").await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        assert_eq!(
            rig.calls(),
            0,
            "nothing is handed over before the last byte"
        );
        for duplicate in [false, true] {
            let chunk = Request::put("/upload/chunked")
                .header("x-upload-session-id", member(&created, "session_id"))
                .header("x-chunk-number", "0");
            let (status, answer) = rig.send(chunk, "abc").await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            assert!(answer.contains("\"body\":\"the app\""), "{answer}");
            assert!(
                answer.contains(&format!("\"duplicate\":{duplicate}")),
                "{answer}"
            );
            assert_eq!(rig.calls(), 1);
        }
    }

    /// A body that says neither that it is empty nor anything else.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_whose_body_never_comes_is_given_up() {
        let rig = Rig::new(|_| {}).await;
        let create = Request::post("/upload/chunked")
            .header("x-filename", "a")
            .header("x-total-size", "3");
        let begun = tokio::time::Instant::now();
        let response = rig.service.clone().oneshot(create.body(Silent).unwrap());
        let response = tokio::time::timeout(std::time::Duration::from_secs(60), response);
        let response = response.await.unwrap();
        assert_eq!(response.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(begun.elapsed().as_secs(), 30, "the stall timeout");
    }

    #[tokio::test]
    async fn a_protected_path_needs_a_signature_and_then_passes() {
        let secret = b"0123456789abcdef0123456789abcdef";
        let rig = Rig::new(|config| {
            config.security.enabled = true;
            config.security.schemes = vec![crate::config::Scheme::Path];
            config.security.secret = crate::config::Secret::new(secret.to_vec()).ok();
            config.security.protect = vec!["/upload".to_owned()];
        })
        .await;
        let (status, answer) = rig.send(Request::post("/upload"), "x").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(answer.contains("signature_missing"), "{answer}");
        assert_eq!(rig.calls(), 0);
        let signature = crate::auth::path::sign(secret, "/upload");
        let signed = Request::post("/upload").header("x-signature", signature);
        assert_eq!(rig.send(signed, "x").await.0, StatusCode::OK);
        assert_eq!(rig.calls(), 1);
    }

    #[tokio::test]
    async fn a_state_directory_that_is_served_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = UploadConfig::default();
        config.uploads.state_dir = dir.path().join("files/state");
        config.delivery.mode = crate::config::Mode::Store;
        config.delivery.storage_path = dir.path().join("files");
        let error = SteadfastLayer::from_config(config).await.map(drop);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("is inside of delivery.storage_path"),
            "{error}"
        );
        assert!(!dir.path().join("files").exists(), "nothing is made");
    }

    #[tokio::test]
    async fn switched_off_routes_belong_to_the_app() {
        let rig = Rig::new(|config| config.dialects.chunked = false).await;
        let answer = rig
            .send(Request::get("/upload/status?session_id=x"), "")
            .await;
        assert_eq!(answer.1, "the app");
    }
}
