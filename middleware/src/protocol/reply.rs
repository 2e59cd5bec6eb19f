use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

use super::problem::mark;

/// An answer of ours: whole in memory, since all of them are small.
pub type Reply = Response<Bytes>;

/// A JSON answer.
#[must_use]
pub fn json(status: StatusCode, value: &Value) -> Reply {
    let mut reply = Response::new(Bytes::from(value.to_string()));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    mark(&mut reply);
    reply
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    mark(&mut reply);
    reply
}
