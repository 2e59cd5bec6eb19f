use std::sync::Arc;

use http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
};
use http::{Method, Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::{Digested, HandoffBody};
use super::multipart;
use crate::config;
use crate::engine::Delivery;
use crate::upload::{Declaration, FileName};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const OCTETS: &str = "application/octet-stream";
/// `attr-char` of RFC 8187.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The request that a finished upload becomes.
#[derive(Clone, Debug)]
pub struct Template {
    method: Method,
    uri: Uri,
    form: config::Form,
    field: String,
}

impl Template {
    /// The template that `[delivery]` describes; `None` when path or method are not valid.
    #[must_use]
    pub fn new(delivery: &config::Delivery) -> Option<Self> {
        Some(Self {
            method: delivery.method.parse().ok()?,
            uri: delivery.path.parse().ok()?,
            form: delivery.form,
            field: delivery.field.clone(),
        })
    }

    /// Builds the request. `random` becomes the boundary; the second value receives the file's digest
    /// when the body was read to its end.
    #[must_use]
    pub fn request(
        &self,
        delivery: Delivery,
        random: [u8; 16],
    ) -> (Request<HandoffBody>, Digested) {
        let (key, header) = (delivery.key, Arc::clone(&delivery.header));
        let declaration = &header.declaration;
        let file_type = declaration.content_type.as_deref().unwrap_or(OCTETS);
        let (content_type, before, after) = match self.form {
            config::Form::Multipart => {
                let framing = multipart::frame(&self.field, &declaration.name, file_type, random);
                (framing.content_type, framing.before, framing.after)
            }
            config::Form::Raw => (file_type.to_owned(), String::new(), String::new()),
        };
        let (body, digested) = HandoffBody::new(before, delivery, after);
        let len = body.len();
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        add_kept_headers(headers, declaration);
        insert_text(headers, CONTENT_TYPE, &content_type);
        headers.insert(CONTENT_LENGTH, len.into());
        insert_text(headers, IDEMPOTENCY_KEY, &key.to_string());
        if self.form == config::Form::Raw {
            insert_text(
                headers,
                CONTENT_DISPOSITION,
                &disposition(&declaration.name),
            );
        }
        (request, digested)
    }
}

pub(super) fn add_kept_headers(headers: &mut http::HeaderMap, declaration: &Declaration) {
    if let Some(host) = &declaration.host {
        insert_text(headers, HOST, host);
    }
    for (name, value) in &declaration.headers {
        let value = crate::upload::to_latin1(value).and_then(|v| HeaderValue::from_bytes(&v).ok());
        if let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) {
            headers.append(name, value);
        }
    }
}

/// Sets a header whose text was checked when it came in.
fn insert_text(headers: &mut http::HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        headers.insert(name, value);
    }
}

/// The file's name beside a raw body (RFC 6266).
pub(super) fn disposition(name: &FileName) -> String {
    format!(
        "attachment; filename*=UTF-8''{}",
        utf8_percent_encode(name.as_str(), ATTR_CHAR)
    )
}
