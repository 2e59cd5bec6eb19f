//! What fuzzers try: bytes go in, and what must hold of whatever they mean is asserted. `fuzz/` at the
//! root of the repository runs each for as long as one likes; the tests here run what it has found
//! so far.

#![allow(clippy::unwrap_used, reason = "checks panic")]

mod request;

use http::Method;
use sha2::{Digest as _, Sha256};

pub use crate::handoff::fuzz::Form;

use crate::UploadConfig;
use crate::upload::fuzz::Input;
use crate::{auth, config, handoff, protocol, store, upload};

/// A log is recovered from any bytes.
pub fn log(bytes: &[u8]) {
    store::fuzz::disk::recovery(bytes);
}

/// A log of any entries is read as it was written.
pub fn log_entries(bytes: &[u8]) {
    store::fuzz::disk::round_trip(bytes);
}

/// The head of a request: a line of method and target, and a line for each header.
pub fn headers(bytes: &[u8]) {
    let Some(parts) = request::read(bytes) else {
        return;
    };
    if let Some(declaration) = protocol::chunked::fuzz::head(&parts) {
        handoff::fuzz::assert_delivered(&declaration);
    }
}

/// The heads of a signed request and of another one, with an empty line between them.
pub fn signature(bytes: &[u8]) {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (first, second) = bytes.split_at(end.unwrap_or(bytes.len()));
    let second = second.strip_prefix(b"\n\n").unwrap_or(first);
    if let (Some(first), Some(second)) = (request::read(first), request::read(second)) {
        auth::message::fuzz::signature(&first, &second);
    }
}

/// The name of a file.
pub fn file_name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(name) = upload::fuzz::file_name(&text) {
        let disposition = handoff::fuzz::disposition(&name);
        protocol::chunked::fuzz::assert_name_in(&disposition, &name);
    }
}

/// A form with a file in it, of the names and the type that are let in, read strictly: a field, a name,
/// a type, each behind its length; the rest is the file. None where one of them is refused.
#[must_use]
pub fn form(bytes: &[u8]) -> Option<Form> {
    let mut input = Input::new(bytes);
    let field = input.text();
    if !config::is_field_name(&field) {
        return None;
    }
    let (name, file_type) = (input.bytes(), input.bytes());
    let head = [
        (&b"x-total-size"[..], &b"1"[..]),
        (b"x-filename", name),
        (b"x-content-type", file_type),
    ];
    let given = head.into_iter().filter(|(_, value)| !value.is_empty());
    let parts = request::of(Method::POST, "/upload/chunked".parse().unwrap(), given);
    let declaration = protocol::chunked::fuzz::head(&parts)?;
    // No file holds the boundary, which nobody can know.
    let random: [u8; 16] = Sha256::digest(bytes)[..16].try_into().unwrap();
    Some(handoff::fuzz::form(
        &field,
        &declaration,
        input.rest(),
        random,
    ))
}

/// A record in Redis.
#[cfg(feature = "redis")]
pub fn redis_record(bytes: &[u8]) {
    store::fuzz::redis::record(bytes);
}

/// The text of a configuration. What is accepted is printed, and read back the same.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let config = match UploadConfig::from_toml(text) {
        Ok(loaded) => loaded.config,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let shown = config.effective();
    let is_secret = config.security.secret.is_some()
        || !config.security.keys.is_empty()
        || config.sessions.redis_url.to_string().contains("***");
    if !is_secret {
        let again = UploadConfig::from_toml(&shown);
        assert_eq!(again.unwrap().config.effective(), shown);
    }
}

/// Pieces that come and go.
pub fn ranges(bytes: &[u8]) {
    upload::fuzz::ranges(bytes);
}

#[cfg(all(test, feature = "redis"))]
mod parsers;
#[cfg(all(test, feature = "redis"))]
mod tests;
