use std::path::PathBuf;
use std::time::Duration;

use crate::config::key::{Key, key};
use crate::config::kind::{Choice, Count, FilePath, List, Span, Text};
use crate::config::text;
use crate::config::units::{DAY, INSTANT};

/// `[delivery]`: what happens to a finished file.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Whether a handler gets the file, or a directory.
    pub mode: Mode,
    /// The path of the request that is made for the handler.
    pub path: String,
    /// The method of that request, in upper case.
    pub method: String,
    /// The form of its body.
    pub form: Form,
    /// The name of the file's field, when the form is multipart.
    pub field: String,
    /// Names of headers of the request that created the upload, kept for the handler.
    pub forward_headers: Vec<String>,
    /// How long the handler may take.
    pub timeout: Duration,
    /// How long a client is kept waiting for the handler's answer before it is told to come back.
    pub finalize_wait: Duration,
    /// What to do when nobody knows whether the handler did its work.
    pub on_unknown: OnUnknown,
    /// Deliveries at once.
    pub max_concurrent: usize,
    /// The directory files are renamed into, in store mode.
    pub storage_path: PathBuf,
    /// What to do when the name is taken, in store mode.
    pub on_conflict: OnConflict,
}

/// Who gets a finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `"handler"`: the wrapped app, as an ordinary request.
    Handler,
    /// `"store"`: the directory `storage_path`.
    Store,
}

/// The form of the body a handler gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `"multipart"`: `multipart/form-data` with one file.
    Multipart,
    /// `"raw"`: the bytes.
    Raw,
}

/// What to do after a hand-off whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// `"retry"`: hand over again, under the same `Idempotency-Key`.
    Retry,
    /// `"hold"`: do not call the handler again; keep the bytes until the upload expires.
    Hold,
}

/// What to do when the name of a file is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// `"rename"`: find a free name.
    Rename,
    /// `"reject"`: refuse the upload.
    Reject,
    /// `"overwrite"`: replace the file, by a rename and never in place.
    Overwrite,
}

const MODES: &[(&str, Mode)] = &[("handler", Mode::Handler), ("store", Mode::Store)];
const FORMS: &[(&str, Form)] = &[("multipart", Form::Multipart), ("raw", Form::Raw)];
const ON_UNKNOWN: &[(&str, OnUnknown)] = &[("retry", OnUnknown::Retry), ("hold", OnUnknown::Hold)];
const ON_CONFLICT: &[(&str, OnConflict)] = &[
    ("rename", OnConflict::Rename),
    ("reject", OnConflict::Reject),
    ("overwrite", OnConflict::Overwrite),
];

impl Default for Delivery {
    fn default() -> Self {
        Self {
            mode: Mode::Handler,
            path: "/upload".to_owned(),
            method: "POST".to_owned(),
            form: Form::Multipart,
            field: "file".to_owned(),
            forward_headers: Vec::new(),
            timeout: Duration::from_secs(600),
            finalize_wait: Duration::from_secs(20),
            on_unknown: OnUnknown::Retry,
            max_concurrent: 8,
            storage_path: "uploads".into(),
            on_conflict: OnConflict::Rename,
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let path = Text {
        expected: "a path such as \"/upload\", percent-encoded and without a query",
        valid: text::is_url_path,
    };
    let method = Text {
        expected: "a method with a body, in upper case, such as \"POST\"",
        valid: text::is_body_method,
    };
    let field = Text {
        expected: "a name of 1 to 128 bytes without \\ such as \"file\"",
        valid: text::is_field_name,
    };
    let header = Text {
        expected: "the name of a header other than Host, Content-*, Transfer-Encoding, Connection and its kin, \
                   Forwarded, X-Forwarded-*, X-Signature and Idempotency-Key",
        valid: text::is_forwardable_header,
    };
    vec![
        key("delivery.mode", Choice(MODES), |c| &mut c.delivery.mode),
        key("delivery.path", path, |c| &mut c.delivery.path),
        key("delivery.method", method, |c| &mut c.delivery.method),
        key("delivery.form", Choice(FORMS), |c| &mut c.delivery.form),
        key("delivery.field", field, |c| &mut c.delivery.field),
        key("delivery.forward_headers", List(header), |c| {
            &mut c.delivery.forward_headers
        }),
        key("delivery.timeout", Span(INSTANT..=DAY), |c| {
            &mut c.delivery.timeout
        }),
        // Zero is a choice here: answer at once and let the client ask again.
        key("delivery.finalize_wait", Span(Duration::ZERO..=DAY), |c| {
            &mut c.delivery.finalize_wait
        }),
        key("delivery.on_unknown", Choice(ON_UNKNOWN), |c| {
            &mut c.delivery.on_unknown
        }),
        key("delivery.max_concurrent", Count(1..=65_536), |c| {
            &mut c.delivery.max_concurrent
        }),
        key("delivery.storage_path", FilePath, |c| {
            &mut c.delivery.storage_path
        }),
        key("delivery.on_conflict", Choice(ON_CONFLICT), |c| {
            &mut c.delivery.on_conflict
        }),
    ]
}
