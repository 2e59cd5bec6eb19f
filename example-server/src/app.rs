//! The application: ordinary routes, and the one line that makes their uploads resumable.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use steadfast::config::UploadConfig;
use steadfast::{Driver, SteadfastLayer};
use tower::Layer;

use crate::{files, health};

/// Where uploaded files are kept, below the working directory.
const UPLOADS: &str = "uploads";

/// The application and the future that does its background work.
///
/// # Errors
///
/// If the state directory cannot be used, or the settings ask for what this build cannot do.
pub(crate) async fn app(config: UploadConfig) -> Result<(Router, Driver), steadfast::Error> {
    let files = files::router(UPLOADS);
    let (layer, driver) = SteadfastLayer::from_config(config).await?;
    // Beside the layer, which answers nobody without a signature where `security.protect` asks for one.
    let app = health::router(layer.health()).fallback_service(layer.layer(files.clone()));
    Ok((
        app.layer(middleware::from_fn(cors)),
        driver.deliver_through::<Body, _>(files),
    ))
}

/// What pages of other origins may send.
const ALLOWED_METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// What pages of other origins may read of an answer, beyond what browsers always show.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Location, Retry-After, X-Upload-State, X-Upload-Server, ETag, Content-Range, Accept-Signature",
);

/// Lets pages of any origin upload: requests are authorised by what they carry, never by cookies.
///
/// Answers a preflight itself and passes every other `OPTIONS` on, for upload protocols use it to
/// announce what a server can do. `tower_http`'s `CorsLayer` would answer those too.
async fn cors(request: Request, next: Next) -> Response {
    let any = HeaderValue::from_static("*");
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if preflight {
        let headers = preflight_headers(request.headers());
        return (StatusCode::NO_CONTENT, headers).into_response();
    }
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    response
}

/// The answer to a preflight: any header, and an hour before the browser asks again.
fn preflight_headers(request: &HeaderMap) -> HeaderMap {
    let asked: HeaderName = header::ACCESS_CONTROL_REQUEST_HEADERS;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("3600"),
    );
    // The asked-for names rather than `*`, which would not cover `Authorization`.
    if let Some(names) = request.get(&asked) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    async fn send(method: Method, headers: &[(&str, &str)]) -> Response {
        let inner = any(|| async { ([(header::ALLOW, "POST")], "inner") });
        let app = Router::new()
            .fallback_service(inner)
            .layer(middleware::from_fn(cors));
        let mut request = Request::builder()
            .method(method)
            .header("origin", "https://a.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        app.oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_preflight_allows_what_it_asks_for() {
        let asked = [
            ("access-control-request-method", "PUT"),
            (
                "access-control-request-headers",
                "authorization,x-chunk-number",
            ),
        ];
        let response = send(Method::OPTIONS, &asked).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let headers = response.headers();
        assert!(!headers.contains_key(header::ALLOW));
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(
            headers["access-control-allow-headers"],
            "authorization,x-chunk-number"
        );
        assert!(
            headers["access-control-allow-methods"]
                .to_str()
                .unwrap()
                .contains("PUT")
        );
    }

    #[tokio::test]
    async fn everything_else_reaches_the_application() {
        for method in [Method::OPTIONS, Method::POST] {
            let response = send(method, &[]).await;
            assert_eq!(response.headers()[header::ALLOW], "POST");
            assert_eq!(response.headers()["access-control-allow-origin"], "*");
            let exposed = response.headers()["access-control-expose-headers"]
                .to_str()
                .unwrap();
            assert!(exposed.contains("Location") && exposed.contains("X-Upload-State"));
        }
    }
}
