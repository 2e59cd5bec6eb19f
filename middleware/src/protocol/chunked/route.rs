use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

use crate::config::UploadConfig;
use crate::protocol::{Code, Problem, Reply, reply};

/// A path of this dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Create, chunks, cancel.
    Uploads,
    /// Status.
    Status,
    /// The same as it changes.
    Events,
}

/// The route of a path as received, if this dialect is on and it is one of ours.
#[must_use]
pub fn route(config: &UploadConfig, path: &str) -> Option<Route> {
    if !config.speaks_chunked() {
        return None;
    }
    match path {
        "/upload/chunked" => Some(Route::Uploads),
        "/upload/status" => Some(Route::Status),
        "/upload/events" => Some(Route::Events),
        // The paths on which the HMAC File Server answers.
        "/chunked-upload" if config.dialects.aliases => Some(Route::Uploads),
        "/upload-status" if config.dialects.aliases => Some(Route::Status),
        _ => None,
    }
}

impl Route {
    /// Whether the route knows the method, besides `OPTIONS`.
    #[must_use]
    pub fn allows(self, method: &Method) -> bool {
        match self {
            Self::Uploads => [Method::POST, Method::PUT, Method::DELETE].contains(method),
            Self::Status | Self::Events => [Method::GET, Method::HEAD].contains(method),
        }
    }

    fn allow(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Uploads => "POST, PUT, DELETE, OPTIONS",
            Self::Status | Self::Events => "GET, HEAD, OPTIONS",
        })
    }
}

/// The answer to `OPTIONS`. CORS is the app's own, mounted outside.
#[must_use]
pub fn options(route: Route) -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    reply.headers_mut().insert(ALLOW, route.allow());
    reply
}

/// The answer to a method the route does not know.
#[must_use]
pub fn method_not_allowed(route: Route) -> Problem {
    let detail = "The header Allow names the methods of this path.";
    Problem::new(Code::METHOD, detail).with_header(ALLOW, route.allow())
}
