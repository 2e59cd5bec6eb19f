//! What fuzzers try of the heads of requests.

#![allow(clippy::unwrap_used, reason = "checks panic")]

use http::request::Parts;

use super::{Command, NewUpload, Route, is_create, parse};
use crate::config::UploadConfig;
use crate::protocol::Headers;
use crate::upload::fuzz::file_name;
use crate::upload::{Declaration, FileName, SessionId, Target};

/// Headers that are kept for the hand-off.
const KEPT: [&str; 2] = ["Authorization", "x-tenant"];

fn config() -> UploadConfig {
    let mut config = UploadConfig::default();
    config.delivery.forward_headers = KEPT.map(str::to_owned).to_vec();
    config
}

/// Any head is read, and what is believed of it is as it should be. What it declares, if it makes an
/// upload.
pub(crate) fn head(parts: &Parts) -> Option<Declaration> {
    let config = config();
    for name in ["x-total-size", "x-chunk-number", "x-chunk-size"] {
        assert_number(parts, name);
    }
    for route in [Route::Status, Route::Events] {
        if let Ok(Command::Status(id) | Command::Events(id)) = parse(&config, route, parts) {
            assert_id(&id);
        }
    }
    match parse(&config, Route::Uploads, parts).ok()? {
        Command::Create(new) => {
            assert!(is_create(Route::Uploads, parts));
            assert_created(&config, parts, &new);
            Some(new.declaration)
        }
        Command::Append(append) => {
            assert_id(&append.id);
            let Target::Chunk { number, length } = append.target;
            assert_eq!(text(parts, "x-chunk-number"), Some(number.to_string()));
            assert_eq!(text(parts, "content-length"), length.map(|l| l.to_string()));
            None
        }
        Command::Cancel(id) | Command::Status(id) | Command::Events(id) => {
            assert_id(&id);
            None
        }
    }
}

/// The name that a raw body carries is the one that is read of it.
pub(crate) fn assert_name_in(disposition: &str, name: &FileName) {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-disposition", disposition.parse().unwrap());
    let read = super::filename::filename(Headers(&headers));
    assert_eq!(read.ok().as_ref(), Some(name));
}

/// A number is read of what is written for it and of nothing else.
fn assert_number(parts: &Parts, name: &'static str) {
    let read = Headers(&parts.headers).number(name);
    if let Ok(Some(number)) = read {
        assert_eq!(text(parts, name), Some(number.to_string()));
        assert!(number <= i64::MAX as u64);
        return;
    }
    let values = parts.headers.get_all(name).iter().count();
    let written = text(parts, name).and_then(|text| Some((text.parse::<i64>().ok()?, text)));
    let plain = written.is_some_and(|(number, text)| number >= 0 && number.to_string() == text);
    assert!(values != 1 || !plain, "a number is refused");
}

fn text(parts: &Parts, name: &str) -> Option<String> {
    let value = parts.headers.get(name)?;
    value.to_str().ok().map(str::to_owned)
}

fn assert_id(id: &SessionId) {
    let parsed = SessionId::parse(id.expose()).unwrap();
    assert_eq!(parsed.key(), id.key());
    assert!(id.expose().len() <= 76 && id.expose().is_ascii());
}

fn assert_created(config: &UploadConfig, parts: &Parts, new: &NewUpload) {
    let declared = &new.declaration;
    assert!(file_name(declared.name.as_str()).is_some());
    let total = text(parts, "x-total-size").unwrap();
    assert_eq!(total, declared.total.to_string());
    let (min, max) = (config.uploads.min_chunk_size, config.uploads.max_chunk_size);
    assert!(
        declared
            .chunk_size
            .is_none_or(|size| (min..=max).contains(&size))
    );
    assert_eq!(text(parts, "x-content-type"), declared.content_type);
    let has_digests = parts.headers.contains_key("repr-digest");
    assert_eq!(has_digests, !declared.digests.is_empty());
    for (name, value) in &declared.headers {
        assert!(KEPT.iter().any(|kept| kept.to_lowercase() == *name));
        let value = crate::upload::to_latin1(value).unwrap();
        let values = parts.headers.get_all(name).iter();
        assert!(values.into_iter().any(|sent| sent.as_bytes() == value));
    }
}
