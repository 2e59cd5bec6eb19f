use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

use super::problem::mark;
use crate::upload::Timestamp;

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

/// A moment as it stands in JSON (RFC 3339).
pub(super) fn rfc3339(time: Timestamp) -> String {
    // The formatter ends at the year 9999.
    const LATEST: Timestamp = Timestamp(253_402_300_799_000);
    humantime::format_rfc3339_seconds(time.min(LATEST).to_system_time()).to_string()
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    mark(&mut reply);
    reply
}
