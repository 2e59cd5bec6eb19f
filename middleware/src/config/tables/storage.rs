use crate::config::key::{Key, key};
use crate::config::kind::{Choice, Optional, Text};
use crate::config::text;

/// `[storage]`: where the bytes of unfinished uploads are. Credentials for object storage come
/// from the environment, never from here.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Where the bytes are.
    pub backend: Backend,
    /// The bucket or container.
    pub bucket: Option<String>,
    /// What every object's name starts with.
    pub prefix: Option<String>,
    /// The URL of a compatible service, if not the provider's own.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
}

/// Where the bytes of unfinished uploads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `"local"`: files in `uploads.state_dir`.
    Local,
    /// `"s3"`: S3 or what speaks like it.
    S3,
    /// `"gcs"`: Google Cloud Storage.
    Gcs,
    /// `"azure"`: Azure Blob Storage.
    Azure,
}

const BACKENDS: &[(&str, Backend)] = &[
    ("local", Backend::Local),
    ("s3", Backend::S3),
    ("gcs", Backend::Gcs),
    ("azure", Backend::Azure),
];

impl Default for Storage {
    fn default() -> Self {
        Self {
            backend: Backend::Local,
            bucket: None,
            prefix: None,
            endpoint: None,
            region: None,
        }
    }
}

pub(super) fn keys() -> Vec<Key> {
    let name = || {
        Optional(Text {
            expected: "visible ASCII without spaces",
            valid: text::is_visible,
        })
    };
    let endpoint = Text {
        expected: "a URL without a path such as \"https://s3.example\"",
        valid: text::is_origin,
    };
    vec![
        key("storage.backend", Choice(BACKENDS), |c| {
            &mut c.storage.backend
        }),
        key("storage.bucket", name(), |c| &mut c.storage.bucket),
        key("storage.prefix", name(), |c| &mut c.storage.prefix),
        key("storage.endpoint", Optional(endpoint), |c| {
            &mut c.storage.endpoint
        }),
        key("storage.region", name(), |c| &mut c.storage.region),
    ]
}
