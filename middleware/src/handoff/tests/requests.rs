//! The head of the request.

use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http_body_util::BodyExt as _;

use super::{content, delivery, header, multipart, raw, request_of};
use crate::config::Delivery as Config;
use crate::handoff::Template;
use crate::upload::FileName;
use crate::upload::tests::sample::key;

#[tokio::test]
async fn a_raw_request_is_the_file_with_its_name_beside_it() {
    let mut named = header(5);
    named.declaration.name = FileName::parse("ü b\"c/.txt".replace('/', "%")).unwrap();
    let (request, _) = request_of(&raw(), named, content(5));
    let headers = request.headers();
    assert_eq!(headers[CONTENT_TYPE], "application/octet-stream");
    assert_eq!(headers[CONTENT_LENGTH], "5");
    assert_eq!(
        headers[CONTENT_DISPOSITION],
        "attachment; filename*=UTF-8''%C3%BC%20b%22c%25.txt"
    );
    assert_eq!(
        request.into_body().collect().await.unwrap().to_bytes(),
        content(5)
    );
}

#[test]
fn a_raw_request_has_the_type_of_the_file() {
    let mut typed = header(5);
    typed.declaration.content_type = Some("text/plain; charset=utf-8".to_owned());
    let (request, _) = request_of(&raw(), typed, content(5));
    assert_eq!(request.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
}

#[test]
fn an_empty_file_has_a_length_too() {
    let (request, _) = request_of(&raw(), header(0), content(0));
    assert_eq!(request.headers()[CONTENT_LENGTH], "0");
    let (request, _) = multipart(&content(0));
    assert_ne!(request.headers()[CONTENT_LENGTH], "0");
}

#[test]
fn method_and_path_are_those_of_the_configuration() {
    let (request, _) = multipart(&content(1));
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", "/upload")
    );
    let (path, method) = ("/a/b%20c".to_owned(), "PUT".to_owned());
    let config = Config {
        path,
        method,
        ..Config::default()
    };
    let (request, _) = request_of(&config, header(1), content(1));
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("PUT", "/a/b%20c")
    );
    let config = Config {
        path: "a b".to_owned(),
        ..Config::default()
    };
    assert!(Template::new(&config).is_none());
    let config = Config {
        method: "PO ST".to_owned(),
        ..Config::default()
    };
    assert!(Template::new(&config).is_none());
}

/// A handler that was called twice recognises the file by it.
#[test]
fn the_request_carries_the_key_of_the_upload() {
    let (request, _) = multipart(&content(1));
    assert_eq!(request.headers()["idempotency-key"], key(1).to_string());
}

#[test]
fn kept_headers_arrive_byte_for_byte_and_ours_win() {
    let mut kept = header(1);
    kept.declaration.host = Some("files.example:8443".to_owned());
    kept.declaration.headers = [
        ("authorization", "Bearer x"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-latin", "na\u{ef}ve"),
        ("content-length", "999"),
        ("content-type", "text/html"),
        ("idempotency-key", "the client's own"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let (request, _) = request_of(&raw(), kept, content(1));
    let headers = request.headers();
    assert_eq!(headers[HOST], "files.example:8443");
    assert_eq!(headers["authorization"], "Bearer x");
    let cookies: Vec<_> = headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(headers["x-latin"].as_bytes(), b"na\xefve");
    let ours = [
        ("content-length", "1"),
        ("content-type", "application/octet-stream"),
        ("idempotency-key", &key(1).to_string()),
    ];
    for (name, value) in ours {
        assert_eq!(
            headers.get_all(name).iter().collect::<Vec<_>>(),
            [value],
            "{name}"
        );
    }
}

/// What a log holds is not trusted to be a header.
#[test]
fn headers_that_are_none_are_left_out() {
    let mut kept = header(1);
    kept.declaration.headers = [
        ("x-a", "1\r\nx-evil: 1"),
        ("x b", "1"),
        ("x-c", "中"),
        ("x-d", "2"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let (request, _) = request_of(&raw(), kept, content(1));
    assert!(
        ["x-a", "x-evil", "x-c"]
            .iter()
            .all(|name| !request.headers().contains_key(*name))
    );
    assert_eq!(request.headers()["x-d"], "2");
}

#[test]
fn boundaries_differ() {
    let template = Template::new(&Config::default()).unwrap();
    let of = |random| {
        let delivery = delivery(header(1), content(1));
        template.request(delivery, random).0.headers()[CONTENT_TYPE].clone()
    };
    assert_ne!(of([1; 16]), of([2; 16]));
}
