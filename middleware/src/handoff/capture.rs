use std::pin::pin;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::upload::{Answer, from_latin1};

/// Bytes of a body that are stored.
const BODY_MAX: usize = 64 * 1024;

const KEPT: [header::HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::LOCATION,
    header::ETAG,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    header::CONTENT_LANGUAGE,
];

/// Reads an answer to its end and keeps what is stored of it: status, some headers (never
/// `Set-Cookie`), and the first 64 KiB of the body.
///
/// # Errors
/// The body's, when it breaks off: what the handler wanted to say is not known then.
pub async fn capture<B>(response: Response<B>) -> Result<Answer, B::Error>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = response.into_parts();
    let mut body = pin!(body);
    let mut kept = Vec::new();
    let mut truncated = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = BODY_MAX - kept.len();
        truncated |= data.len() > room;
        kept.extend_from_slice(&data[..data.len().min(room)]);
    }
    let headers = kept_headers(&parts.headers);
    Ok(Answer {
        status: parts.status.as_u16(),
        headers,
        body: kept,
        truncated,
    })
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let values = |name| headers.get_all(name).iter().map(move |value| (name, value));
    let text = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.to_string(), from_latin1(value.as_bytes()))
    };
    KEPT.iter().flat_map(values).map(text).collect()
}
