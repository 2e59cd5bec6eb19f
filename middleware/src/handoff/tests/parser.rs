//! What handlers read the body with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyDataStream, BodyExt as _};
use multer::Multipart;
use proptest::prelude::*;

use super::{content, header, multipart, read_len, request_of};
use crate::config::Delivery as Config;
use crate::handoff::HandoffBody;
use crate::upload::FileName;

/// Parses a request as handlers do; the counter is of the bytes the parser has taken.
fn parse(request: Request<HandoffBody>) -> (Multipart<'static>, Arc<AtomicUsize>) {
    let content_type = request.headers()[CONTENT_TYPE].to_str().unwrap();
    let boundary = multer::parse_boundary(content_type).unwrap();
    let taken = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&taken);
    let counted = request.into_body().map_frame(move |frame| {
        counter.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::SeqCst);
        frame
    });
    (
        Multipart::new(BodyDataStream::new(counted), boundary),
        taken,
    )
}

async fn assert_parsed(file: &Bytes) {
    let (request, _) = multipart(file);
    let (mut parts, _) = parse(request);
    let part = parts.next_field().await.unwrap().unwrap();
    assert_eq!(part.name(), Some("file"));
    assert_eq!(part.file_name(), Some("data.bin"));
    assert_eq!(
        part.content_type().unwrap().as_ref(),
        "application/octet-stream"
    );
    assert_eq!(part.bytes().await.unwrap(), file);
    assert!(parts.next_field().await.unwrap().is_none());
}

#[tokio::test]
async fn a_parser_finds_the_file_at_every_size() {
    for len in [
        0,
        1,
        read_len() - 1,
        read_len(),
        read_len() + 1,
        3 * read_len() + 17,
    ] {
        assert_parsed(&content(len)).await;
    }
}

#[tokio::test]
async fn the_length_is_exact_at_every_size() {
    for len in [
        0,
        1,
        read_len() - 1,
        read_len(),
        read_len() + 1,
        3 * read_len() + 17,
    ] {
        let (request, _) = multipart(&content(len));
        let announced: usize = request.headers()[CONTENT_LENGTH]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), announced, "{len}");
    }
}

/// A handler that reads on only when it has written what it read must not have the file in memory.
#[tokio::test]
async fn a_parser_holds_no_more_than_a_frame_or_two() {
    let file = content(16 * read_len());
    let (request, _) = multipart(&file);
    let (mut parts, taken) = parse(request);
    let mut part = parts.next_field().await.unwrap().unwrap();
    let (mut given, mut held_max) = (0, 0);
    loop {
        held_max = held_max.max(taken.load(Ordering::SeqCst) - given);
        let Some(chunk) = part.chunk().await.unwrap() else {
            break;
        };
        assert_eq!(chunk, file[given..given + chunk.len()]);
        given += chunk.len();
    }
    assert_eq!(given, file.len());
    assert!(
        held_max <= 2 * read_len() + 1024,
        "{held_max} bytes at once"
    );
}

#[tokio::test]
async fn names_and_types_reach_the_handler() {
    let names = [
        ("a.zip", "a.zip"),
        ("ü 中 🎉;x=1.zip", "ü 中 🎉;x=1.zip"),
        ("it's & co.", "it's & co."),
        // As browsers send it.
        ("a\"b.zip", "a%22b.zip"),
    ];
    for (name, read) in names {
        let mut header = header(3);
        header.declaration.name = FileName::parse(name).unwrap();
        header.declaration.content_type = Some("application/zip".to_owned());
        let config = Config {
            field: "upload".to_owned(),
            ..Config::default()
        };
        let (request, _) = request_of(&config, header, content(3));
        let (mut parts, _) = parse(request);
        let part = parts.next_field().await.unwrap().unwrap();
        assert_eq!(part.name(), Some("upload"));
        assert_eq!(part.file_name(), Some(read));
        assert_eq!(part.content_type().unwrap().as_ref(), "application/zip");
        assert_eq!(part.bytes().await.unwrap(), content(3));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Files that look like the framing among them.
    #[test]
    fn any_file_is_found_as_it_was(
        pieces in prop::collection::vec(
            prop_oneof![
                "\\PC{0,20}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..3_000),
                Just(b"\r\n".to_vec()),
                Just(b"--".to_vec()),
                Just(b"\r\n------steadfast-".to_vec()),
                Just(b"\r\n--boundary--\r\n".to_vec()),
            ],
            0..12,
        ),
        padding in 0_usize..(2 * read_len()),
    ) {
        let file = Bytes::from([pieces.concat(), vec![b'-'; padding]].concat());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(assert_parsed(&file));
    }
}
