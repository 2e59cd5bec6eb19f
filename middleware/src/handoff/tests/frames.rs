//! The body, poll by poll.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{PIECE, Ready, content, delivery, header, multipart, raw, read_len, request_of};
use crate::engine::Delivery;
use crate::handoff::HandoffBody;
use crate::upload::{Algorithm, Hasher, Ranges};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The lengths of the frames of a body; 0 for every poll that was not ready.
fn polls(mut body: HandoffBody) -> Vec<usize> {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let mut polls = Vec::new();
    loop {
        let left = body.len();
        assert_eq!(body.size_hint().exact(), Some(left));
        let woken = wakes.0.load(Ordering::SeqCst);
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(Some(frame)) => {
                let len = frame.unwrap().into_data().unwrap().len();
                assert_eq!(body.len(), left - len as u64);
                polls.push(len);
            }
            Poll::Ready(None) => {
                assert!(body.is_end_stream());
                return polls;
            }
            Poll::Pending => {
                assert_eq!(
                    wakes.0.load(Ordering::SeqCst),
                    woken + 1,
                    "nobody would poll again"
                );
                polls.push(0);
            }
        }
    }
}

/// A multipart parser takes all that is ready before it gives anything out.
#[test]
fn a_body_waits_once_before_every_frame_but_the_first() {
    let (request, _) = multipart(&content(2 * read_len() + 5));
    let polls = polls(request.into_body());
    let [before, first, 0, second, 0, third, 0, after] = polls[..] else {
        panic!("{polls:?}")
    };
    assert_eq!((first, second, third), (read_len(), read_len(), 5));
    assert!(
        (100..300).contains(&before) && (40..80).contains(&after),
        "{polls:?}"
    );
}

#[test]
fn a_raw_body_is_the_file() {
    for (len, expected) in [
        (0, vec![]),
        (1, vec![1, 0]),
        (read_len(), vec![read_len(), 0]),
        (read_len() + 1, vec![read_len(), 0, 1, 0]),
    ] {
        let (request, _) = request_of(&raw(), header(len as u64), content(len));
        assert_eq!(polls(request.into_body()), expected, "{len}");
    }
}

#[tokio::test]
async fn the_digest_is_there_once_the_file_was_read() {
    for len in [0, 1, read_len(), 2 * read_len() + 5] {
        let file = content(len);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&file);
        let expected = hasher.finish().to_hex();
        for config in [crate::config::Delivery::default(), raw()] {
            let (request, digested) = request_of(&config, header(len as u64), file.clone());
            request.into_body().collect().await.unwrap();
            assert_eq!(digested.take(), Some(expected.clone()), "{len}");
            assert_eq!(digested.take(), None);
        }
    }
}

/// A parser stops at the closing boundary, or even before it.
#[tokio::test]
async fn the_digest_does_not_need_the_end_of_the_body() {
    let (request, digested) = multipart(&content(read_len() + 5));
    let mut body = request.into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
        assert_eq!(digested.take(), None);
    }
    body.frame().await.unwrap().unwrap();
    assert!(digested.take().is_some());
}

/// Nobody polls a body that says it has ended.
#[test]
fn the_digest_of_an_empty_file_needs_no_reading() {
    let (request, digested) = request_of(&raw(), header(0), content(0));
    assert!(request.body().is_end_stream());
    assert_eq!(
        digested.take(),
        Some(Hasher::new(Algorithm::Sha256).finish().to_hex())
    );
}

#[tokio::test]
async fn a_digest_nobody_asked_for_is_not_computed() {
    let mut delivery = delivery(header(5), content(5));
    delivery.wants_sha256 = false;
    let (body, digested) = HandoffBody::new(String::new(), delivery, String::new());
    body.collect().await.unwrap();
    assert_eq!(digested.take(), None);
}

/// What a handler gets of a body that breaks off, which it does not ask for more than once.
async fn until_it_breaks(mut delivery: Delivery, blob: Ready) -> Vec<u8> {
    let damage = delivery.damage.clone();
    delivery.blob = Arc::new(blob);
    let (mut body, digested) = HandoffBody::new("<".to_owned(), delivery, ">".to_owned());
    let mut given = Vec::new();
    loop {
        match body.frame().await.unwrap() {
            Ok(frame) => given.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => break,
        }
        assert!(!damage.is_reported());
    }
    assert!(damage.is_reported());
    assert!(body.frame().await.is_none(), "nothing comes after it");
    assert_eq!(digested.take(), None);
    given
}

/// The length was promised: a handler must not take what is left for the file.
#[tokio::test]
async fn a_file_that_cannot_be_read_ends_the_body_with_an_error() {
    let (len, bytes) = (2 * read_len() as u64, content(2 * read_len()));
    for (broken_at, given) in [(0, 1), (len - 1, 1 + read_len())] {
        let blob = Ready {
            bytes: bytes.clone(),
            broken_at: Some(broken_at),
        };
        let delivery = delivery(header(len), bytes.clone());
        assert_eq!(until_it_breaks(delivery, blob).await.len(), given);
    }
}

/// A handler may act on the last byte it gets, so that byte must not be one too many.
#[tokio::test]
async fn the_last_bytes_of_a_piece_that_has_changed_are_not_given() {
    let len = 2 * read_len() + 5;
    for at in [0, 1, PIECE - 1, PIECE, read_len() - 1, read_len(), len - 1] {
        let mut bytes = content(len).to_vec();
        bytes[at] ^= 1;
        let blob = Ready {
            bytes: bytes.into(),
            broken_at: None,
        };
        let given = until_it_breaks(delivery(header(len as u64), content(len)), blob).await;
        let end = len.min((at / PIECE + 1) * PIECE);
        assert!(given.len() - 1 < end, "{at}: {} bytes", given.len());
        let intact = (given.len() - 1).min(at);
        assert_eq!(given[1..=intact], content(len)[..intact]);
    }
}

#[tokio::test]
async fn bytes_that_were_never_received_are_not_given() {
    let mut delivery = delivery(header(5), content(5));
    delivery.pieces = Ranges::default();
    let blob = Ready {
        bytes: content(5),
        broken_at: None,
    };
    assert_eq!(until_it_breaks(delivery, blob).await, b"<");
}

#[tokio::test]
async fn what_stands_around_the_file_stands_around_it() {
    for (before, after) in [("", ""), ("<", ""), ("", ">"), ("<<", ">>")] {
        let file = content(10);
        let delivery = delivery(header(10), file.clone());
        let (body, _) = HandoffBody::new(before.to_owned(), delivery, after.to_owned());
        let expected = [before.as_bytes(), &file, after.as_bytes()].concat();
        assert_eq!(body.len(), expected.len() as u64);
        assert!(!body.is_empty());
        let bytes: Bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes, expected);
    }
}
