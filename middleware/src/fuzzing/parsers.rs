//! What handlers read forms with: two libraries. A third reader, a strict one, is in the product.
//! Their own limits are stated where they are made up for.

#![allow(clippy::expect_used, reason = "checks panic")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::Form;
use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};
use multiparty::server::sans_io::{FormData, Read};

/// Both find one part, the one that is there.
pub fn assert_found(form: &Form) {
    let body = Bytes::from(form.body.clone());
    let boundary = multer::parse_boundary(&form.content_type).expect("it has a boundary");
    assert_found_by_multiparty(form, &body, &boundary);
    ready(assert_found_by_multer(form, body, boundary));
}

/// Runs what never waits for anything.
fn ready(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    let polled = (0..1_000).any(|_| future.as_mut().poll(&mut cx) == Poll::Ready(()));
    assert!(polled, "it waits");
}

async fn assert_found_by_multer(form: &Form, body: Bytes, boundary: String) {
    let body: Full<Bytes> = Full::new(body);
    let mut parts = multer::Multipart::new(BodyDataStream::new(body), boundary);
    let part = parts.next_field().await.expect("it is well formed");
    let part = part.expect("there is a part");
    assert_eq!(part.name(), Some(&*form.field));
    // It takes what looks like a parameter for one even inside of another.
    if !form.field.contains("filename") {
        assert_eq!(part.file_name(), Some(&*form.name));
    }
    assert_eq!(
        part.headers()["content-type"].as_bytes(),
        form.file_type.trim().as_bytes()
    );
    assert_eq!(part.bytes().await.expect("all of it"), form.file);
    assert!(parts.next_field().await.expect("it ends").is_none());
}

fn assert_found_by_multiparty(form: &Form, body: &Bytes, boundary: &str) {
    let mut parser = FormData::new(boundary);
    parser.write(body.clone()).expect("it takes bytes");
    let (mut file, mut parts) = (Vec::new(), 0);
    loop {
        match parser.read().expect("it is well formed") {
            Read::NewPart { headers } => {
                parts += 1;
                // It takes quotes for nothing, and so what they hold for parameters.
                let is_plain = |text: &str| !text.contains([';', '=']) && text.trim() == text;
                if is_plain(&form.field) && is_plain(&form.name) {
                    let headers = headers.parse().expect("it has a name");
                    assert_eq!(headers.name, form.field);
                    assert_eq!(headers.filename.as_deref(), Some(&*form.name));
                }
            }
            Read::Part(bytes) => file.extend_from_slice(&bytes),
            Read::NeedsWrite => panic!("it is whole"),
            Read::PartEof | Read::None => {}
            Read::Eof => break,
        }
    }
    assert_eq!(parts, 1);
    assert!(file == form.file);
}
