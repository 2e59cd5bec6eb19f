//! What is stored of an answer.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::{Body, Frame};
use http_body_util::Full;

use crate::handoff::capture;
use crate::upload::Answer;

const BODY_MAX: usize = 64 * 1024;

/// Frames that are ready one after the other.
struct Frames<E> {
    frames: Vec<Result<Frame<Bytes>, E>>,
    polled: Arc<AtomicUsize>,
}

impl<E: Unpin> Body for Frames<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.polled.fetch_add(1, Ordering::SeqCst);
        let next = (!self.frames.is_empty()).then(|| self.frames.remove(0));
        Poll::Ready(next)
    }
}

async fn captured(body: &[u8]) -> Answer {
    let body = Full::new(Bytes::copy_from_slice(body));
    capture(Response::new(body)).await.unwrap()
}

#[tokio::test]
async fn the_first_64_kib_are_kept() {
    for (len, truncated) in [
        (0, false),
        (1, false),
        (BODY_MAX, false),
        (BODY_MAX + 1, true),
        (3 * BODY_MAX, true),
    ] {
        let body = super::content(len);
        let answer = captured(&body).await;
        assert_eq!(answer.body, body[..len.min(BODY_MAX)], "{len}");
        assert_eq!(answer.truncated, truncated, "{len}");
    }
}

/// A handler may write its answer in many pieces, and go on long after what is kept.
#[tokio::test]
async fn a_body_is_read_to_its_end_whatever_is_kept() {
    let polled = Arc::<AtomicUsize>::default();
    let frame = |_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1_000])));
    let frames = (0..200).map(frame).collect();
    let body = Frames {
        frames,
        polled: Arc::clone(&polled),
    };
    let answer = capture(Response::new(body)).await.unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (BODY_MAX, true));
    assert_eq!(polled.load(Ordering::SeqCst), 201);
}

#[tokio::test]
async fn trailers_are_no_body() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("1"));
    let frames = vec![
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a"))),
        Ok(Frame::trailers(trailers)),
    ];
    let body = Frames {
        frames,
        polled: Arc::default(),
    };
    let answer = capture(Response::new(body)).await.unwrap();
    assert_eq!(answer.body, b"a");
    assert!(answer.headers.is_empty());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    for before in [0, 1, 100] {
        let mut frames: Vec<_> = (0..before)
            .map(|_| Ok(Frame::data(Bytes::from(vec![0; 1_000]))))
            .collect();
        frames.push(Err(io::Error::other("broken")));
        let body = Frames {
            frames,
            polled: Arc::default(),
        };
        assert!(capture(Response::new(body)).await.is_err(), "{before}");
    }
}

#[tokio::test]
async fn six_headers_are_kept_and_no_cookie() {
    let response = Response::builder()
        .status(401)
        .header("Content-Type", "text/plain")
        .header("Set-Cookie", "session=secret")
        .header("WWW-Authenticate", "Basic")
        .header("WWW-Authenticate", "Bearer")
        .header("Location", "/files/1")
        .header("ETag", "\"1\"")
        .header("Retry-After", "7")
        .header(
            "Content-Language",
            HeaderValue::from_bytes(b"fran\xe7ais").unwrap(),
        )
        .header("Content-Length", "4")
        .header("Transfer-Encoding", "chunked")
        .header("Connection", "close")
        .header("Server", "x")
        .header("Cache-Control", "public")
        .header("X-Powered-By", "x")
        .body(Full::new(Bytes::from_static(b"body")))
        .unwrap();
    let answer = capture(response).await.unwrap();
    assert_eq!(answer.status, 401);
    let mut kept: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    kept.sort_unstable();
    assert_eq!(
        kept,
        [
            ("content-language", "français"),
            ("content-type", "text/plain"),
            ("etag", "\"1\""),
            ("location", "/files/1"),
            ("retry-after", "7"),
            ("www-authenticate", "Basic"),
            ("www-authenticate", "Bearer"),
        ]
    );
}
