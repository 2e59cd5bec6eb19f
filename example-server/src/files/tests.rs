use std::time::{Instant, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A form with one file field of that name.
fn form(field: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n--XX--\r\n"].concat()
}

fn post_form(body: impl Into<Body>) -> Request {
    Request::builder()
        .method(Method::POST)
        .uri("/upload")
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=XX")
        .body(body.into())
        .unwrap()
}

fn get_file(uri: &str) -> Request {
    Request::get(uri).body(Body::empty()).unwrap()
}

async fn send(dir: &TempDir, request: Request) -> Response {
    router(dir.path()).oneshot(request).await.unwrap()
}

async fn bytes(response: Response) -> Vec<u8> {
    to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap()
        .to_vec()
}

async fn answer(dir: &TempDir, request: Request) -> (StatusCode, Value) {
    let response = send(dir, request).await;
    let status = response.status();
    (
        status,
        serde_json::from_slice(&bytes(response).await).unwrap(),
    )
}

async fn upload_file(dir: &TempDir, name: &str, bytes: &[u8]) -> (StatusCode, Value) {
    answer(dir, post_form(form("file", name, bytes))).await
}

/// Everything in the directory, hidden or not.
fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn saves_what_was_sent_and_says_where() {
    let dir = TempDir::new().unwrap();
    // More than one write, and not a multiple of its size.
    let sent: Vec<u8> = (0..3 * WRITE_SIZE + 17).map(|i| (i % 251) as u8).collect();
    let response = send(&dir, post_form(form("file", "A b%.zip", &sent))).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()[header::LOCATION], "/files/A%20b%25.zip");
    let saved: Value = serde_json::from_slice(&bytes(response).await).unwrap();
    let url = "/files/A%20b%25.zip";
    assert_eq!(
        saved,
        json!({ "name": "A b%.zip", "size": sent.len(), "url": url })
    );
    assert_eq!(names(&dir), ["A b%.zip"]);

    let served = send(&dir, get_file(url)).await;
    assert_eq!(served.status(), StatusCode::OK);
    assert!(bytes(served).await == sent);
}

#[tokio::test]
async fn creates_the_directory() {
    let dir = TempDir::new().unwrap();
    let inner = router(dir.path().join("a/b"));
    let listed = inner.clone().oneshot(get_file("/files")).await.unwrap();
    assert_eq!(bytes(listed).await, b"[]");
    let saved = inner
        .oneshot(post_form(form("file", "x", b"")))
        .await
        .unwrap();
    assert_eq!(saved.status(), StatusCode::CREATED);
    assert_eq!(fs::read(dir.path().join("a/b/x")).unwrap(), b"");
}

#[tokio::test]
async fn a_taken_name_gets_a_number() {
    let dir = TempDir::new().unwrap();
    for (content, name) in [("0", "a.zip"), ("1", "a (1).zip"), ("2", "a (2).zip")] {
        let (status, saved) = upload_file(&dir, "a.zip", content.as_bytes()).await;
        assert_eq!(
            (status, &saved["name"]),
            (StatusCode::CREATED, &json!(name))
        );
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), content);
    }
    assert_eq!(fs::read_to_string(dir.path().join("a.zip")).unwrap(), "0");
}

#[tokio::test]
async fn uploads_of_one_name_at_once_are_all_kept() {
    let dir = TempDir::new().unwrap();
    let app = router(dir.path());
    let uploads: Vec<_> = (0..8)
        .map(|i| {
            let app = app.clone();
            tokio::spawn(app.oneshot(post_form(form("file", "a", &[b'0' + i]))))
        })
        .collect();
    for upload in uploads {
        assert_eq!(upload.await.unwrap().unwrap().status(), StatusCode::CREATED);
    }
    let mut contents: Vec<_> = names(&dir)
        .iter()
        .map(|name| fs::read(dir.path().join(name)).unwrap())
        .collect();
    contents.sort();
    assert_eq!(contents.concat(), b"01234567");
}

#[test]
fn numbered_names_stay_within_the_limit() {
    assert_eq!(numbered("plain", 3), "plain (3)");
    assert_eq!(numbered("a.tar.gz", 1), "a.tar (1).gz");
    let long = format!("{}.zip", "ä".repeat(125));
    assert_eq!(long.len(), 254);
    let name = numbered(&long, 9_999);
    assert!(
        name.len() <= 255 && name.ends_with("ä (9999).zip"),
        "{name}"
    );
    assert!(numbered(&format!("a.{}", "b".repeat(250)), 1).ends_with("b (1)"));
}

#[tokio::test]
async fn unsafe_names_are_refused() {
    let dir = TempDir::new().unwrap();
    let long = "x".repeat(256);
    for name in [
        "", ".", "..", ".hidden", "../x", "a/b", "/etc/x", "a\\b", "a\tb", "a\u{85}b", &long,
    ] {
        let (status, refusal) = upload_file(&dir, name, b"data").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name:?}");
        assert!(refusal["error"].is_string(), "{name:?}: {refusal}");
    }
    assert_eq!(names(&dir), [""; 0]);
    assert_eq!(
        upload_file(&dir, &"x".repeat(255), b"").await.0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn forms_without_exactly_one_file_are_refused() {
    let dir = TempDir::new().unwrap();
    let one = form("file", "a", b"1");
    let two = [&one[..one.len() - 4], b"\r\n", &form("file", "b", b"2")].concat();
    let cut = &one[..one.len() - 8];
    for body in [
        form("other", "a", b"1"),
        b"--XX--\r\n".to_vec(),
        two,
        cut.to_vec(),
    ] {
        let text = String::from_utf8_lossy(&body).into_owned();
        let (status, refusal) = answer(&dir, post_form(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(refusal["error"].is_string(), "{refusal}");
    }
    let plain = Request::post("/upload").body(Body::from("x")).unwrap();
    assert_eq!(answer(&dir, plain).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(names(&dir), [""; 0]);
}

#[tokio::test]
async fn serves_ranges_and_conditional_requests() {
    let dir = TempDir::new().unwrap();
    upload_file(&dir, "page.html", b"0123456789").await;
    let whole = send(&dir, get_file("/files/page.html")).await;
    let headers = whole.headers().clone();
    assert_eq!(headers[header::CONTENT_DISPOSITION], "attachment");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(headers.contains_key(header::LAST_MODIFIED));

    let mut request = get_file("/files/page.html");
    request
        .headers_mut()
        .insert(header::RANGE, HeaderValue::from_static("bytes=2-4"));
    let part = send(&dir, request).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()[header::CONTENT_RANGE], "bytes 2-4/10");
    assert_eq!(bytes(part).await, b"234");

    let mut request = get_file("/files/page.html");
    request
        .headers_mut()
        .insert(header::IF_NONE_MATCH, headers[header::ETAG].clone());
    assert_eq!(send(&dir, request).await.status(), StatusCode::NOT_MODIFIED);

    let mut request = get_file("/files/page.html");
    *request.method_mut() = Method::HEAD;
    let head = send(&dir, request).await;
    assert_eq!(head.headers()[header::CONTENT_LENGTH], "10");
    assert_eq!(bytes(head).await, b"");
}

#[tokio::test]
async fn only_uploaded_files_are_listed_and_served() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let dir = TempDir::new().unwrap();
    for name in ["b", "a"] {
        upload_file(&dir, name, name.as_bytes()).await;
    }
    let temporary = create_temporary(dir.path()).unwrap();
    let hidden = temporary
        .1
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    fs::create_dir(dir.path().join("folder")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();

    let (_, list) = answer(&dir, get_file("/files")).await;
    let listed: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["name"])
        .collect();
    assert_eq!(listed, ["a", "b"]);
    assert_eq!(list[0]["size"], 1);
    assert!(
        list[0]["modified"].as_str().unwrap().ends_with('Z'),
        "{list}"
    );

    for name in [
        &*hidden,
        "folder",
        "link",
        "none",
        "..%2Fx",
        "%2e%2e",
        "%2Fetc%2Fpasswd",
    ] {
        let (status, refusal) = answer(&dir, get_file(&format!("/files/{name}"))).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{name}");
        assert_eq!(
            refusal,
            json!({ "error": "there is no such file" }),
            "{name}"
        );
    }
}

#[tokio::test]
async fn answers_name_no_path_of_the_server() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("not-a-directory");
    fs::write(&file, "").unwrap();
    let response = router(&file)
        .oneshot(post_form(form("file", "a", b"1")))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let text = String::from_utf8(bytes(response).await).unwrap();
    assert!(
        text.contains("error") && !text.contains("not-a-directory"),
        "{text}"
    );
}

#[test]
fn a_full_disk_is_507() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        assert_eq!(
            Failure::from(io::Error::from(kind)).status,
            StatusCode::INSUFFICIENT_STORAGE
        );
    }
}

/// Lets other tasks run until `done`.
async fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited too long until {what}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = router(dir.path());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let mut client = TcpStream::connect(address).await.unwrap();
    let body = form("file", "a", &vec![7; 3 * WRITE_SIZE]);
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=XX\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body[..body.len() / 2]).await.unwrap();
    until("the temporary file is there", || names(&dir).len() == 1).await;
    assert!(names(&dir)[0].starts_with(TEMPORARY));
    drop(client);
    until("the temporary file is gone", || names(&dir).is_empty()).await;
    server.abort();
}

#[test]
fn only_old_temporary_files_are_swept() {
    let dir = TempDir::new().unwrap();
    let old = SystemTime::now() - 2 * ABANDONED;
    for (name, modified) in [
        (".incoming-old", Some(old)),
        (".incoming-new", None),
        ("old", Some(old)),
    ] {
        let file = fs::File::create(dir.path().join(name)).unwrap();
        if let Some(modified) = modified {
            file.set_modified(modified).unwrap();
        }
    }
    let _ = router(dir.path());
    assert_eq!(names(&dir), [".incoming-new", "old"]);
}
