use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{progress, standing, told};
use crate::config::OnUnknown;
use crate::engine::{Gaps, View};
use crate::event::{Change, What};
use crate::protocol::{Reply, problem, reply};
use crate::upload::{SessionId, State};

/// Sent where nothing happens, so that neither side and no proxy takes the other for gone.
pub const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// What a client sends that has lost its stream (WHATWG HTML, section 9.2).
const LAST_SEEN: &str = "last-event-id";

/// The head of a stream, which is to get its body.
#[must_use]
pub fn head() -> Reply {
    const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
    let mut reply = Response::new(Bytes::new());
    let stream = HeaderValue::from_static("text/event-stream");
    reply.headers_mut().insert(CONTENT_TYPE, stream);
    // nginx would keep events back until it has enough of them.
    let no = HeaderValue::from_static("no");
    reply.headers_mut().insert(BUFFERING, no);
    problem::mark(&mut reply);
    reply
}

/// The answer to a client that has seen how its upload ended, and comes again because its stream
/// ended with it: 204, at which browsers give it up.
#[must_use]
pub fn seen_all(parts: &Parts, view: &View) -> Option<Reply> {
    let last = parts.headers.get(LAST_SEEN)?;
    let seen = last.as_bytes() == view.revision.to_string().as_bytes();
    (seen && view.state.is_final()).then(|| reply::empty(StatusCode::NO_CONTENT))
}

/// The first event of every stream: the status.
#[must_use]
pub fn snapshot(id: &SessionId, view: &View, gaps: &Gaps, on_unknown: OnUnknown) -> Bytes {
    let data = standing(id, view, gaps, on_unknown);
    event("snapshot", view.revision, &data)
}

/// An event with the status as it is since.
#[must_use]
pub fn whole(what: What, id: &SessionId, view: &View, gaps: &Gaps, on_unknown: OnUnknown) -> Bytes {
    let data = standing(id, view, gaps, on_unknown);
    event(what.name(), view.revision, &data)
}

/// A change, with those members of the status that change all the time.
#[must_use]
pub fn changed(change: &Change, paused: bool, on_unknown: OnUnknown) -> Bytes {
    let what = match told(change.state, on_unknown) {
        state if state == change.state || change.what.is_final() => change.what,
        state => What::reached(state),
    };
    event(
        what.name(),
        change.revision,
        &members(change, paused, on_unknown),
    )
}

/// That the upload waits, or goes on.
#[must_use]
pub fn pause(last: &Change, paused: bool, on_unknown: OnUnknown) -> Bytes {
    let name = if paused { "paused" } else { "resumed" };
    event(name, last.revision, &members(last, paused, on_unknown))
}

fn members(change: &Change, paused: bool, on_unknown: OnUnknown) -> Value {
    let complete = change.state == State::Receiving && change.uploaded == change.total;
    let state = match complete {
        true => State::Finishing,
        false => told(change.state, on_unknown),
    };
    json!({
        "state": state.name(),
        "uploaded_bytes": change.uploaded,
        "total_size": change.total,
        "progress": progress(change.uploaded, change.total),
        "paused": paused,
    })
}

/// JSON has no line ends of its own here, so one line of data is enough.
fn event(name: &str, revision: u64, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\nid: {revision}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::tests::sample;

    #[test]
    fn an_end_has_its_own_name_whatever_the_state_is_called() {
        for (what, name) in [(What::Expired, "expired"), (What::Unknown, "undelivered")] {
            let key = sample::id(1).key();
            let change = Change::new(key, what, (State::Unknown, 7), (5, 10));
            let event = changed(&change, false, OnUnknown::Retry);
            let start = format!("event: {name}\nid: 7\n");
            assert!(event.starts_with(start.as_bytes()), "{event:?}");
        }
    }
}
